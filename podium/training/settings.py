"""Settings of the training phases: a member's sections `pretrain` and `finetune`, the maps of optional phases.

`pretrain` is phase 1, with mixup; not ImageNet pretraining.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from podium.core.params import Section


class PhaseSettings(Section):
    """One phase of training; with 0 epochs the phase copies its weights, and its other settings have no effect.

    Attributes:
        epochs: passes over the training images.
        batch_size: images of one pass through the network.
        accumulate: batches whose gradients are averaged for one optimizer step.
        clip_grad: largest norm of the gradients; null for no clipping.
        optimizer: timm's name, e.g. adamw, sgd, lamb.
        momentum: of the optimizer, where it has one; null for its default.
        weight_decay: of the optimizer; not of biases and norms.
        lr: the largest learning rate.
        schedule: timm's cosine, or step (lr x `decay_rate` at each of `decay_epochs`), or constant.
        min_lr: the last lr of cosine.
        decay_epochs: with `schedule: step`, the epochs after which the lr falls.
        decay_rate: with `schedule: step`, what the lr is multiplied by.
        warmup_epochs: first epochs, in which the lr rises.
        layer_decay: the lr of each layer group is that of the next group times this; null for equal lrs.
        head_lr_factor: the classifier's lr is `lr` times this.
        head_init: "probe" sets the classifier to the one that the stage `probe` fitted on frozen features of the
            fold's training images (linear probing then fine-tuning: Kumar et al. 2022, arXiv 2202.10054); "keep"
            leaves it unchanged. "auto" means "probe" where the backbone is pretrained, the classifier is new and
            linear, and no phase before has epochs; otherwise "keep".
        head_only_epochs: number of first epochs in which everything but the classifier is frozen.
        frozen: "batch_norms" freezes their statistics and weights; "backbone" trains the classifier only;
            "all_but_norms" trains the classifier, the weights of all norms, and batch norms' statistics.
        drop_path: stochastic depth: the probability that a residual block is left out of a step.
        label_smoothing: the share of a label that is spread over all classes.
        loss: "cross_entropy" (of sets of labels it is bce); "bce", "focal" or "asymmetric", a separate sigmoid for each
            class (its softmax is the prediction; with `task: labels` the sigmoids are); or "logit_adjusted",
            cross-entropy of the logits plus the log class priors. Sources: podium/training/losses.py.
        class_weights: "balanced" weights a class by the inverse of its count in the training folds, scaled so that the
            mean weight over training images is 1 (for hard and soft targets).
        sampler: "shuffled" draws each image once an epoch; "balanced" draws as many images of each class, and as many
            in all. Rare classes' images are then drawn several times an epoch, each time with another augmentation.
        augmentation: [{Op: kwargs}, ...] of albumentations, and TrivialAugment and RandAugment of torchvision; OneOf,
            SomeOf and Sequential nest. The word image_size in an argument is replaced by the phase's image size.
        ema_decay: the final weights are an exponential moving average over all steps; null for the last step's.
        curves: true predicts the held-out fold after every epoch, for the held-out curves; false after the last epoch
            only. The weights are the same.
        gradient_checkpointing: computes activations again in the backward pass instead of storing them. It takes
            less memory and one more forward pass per step; the weights are the same up to rounding.
        average_epochs: the final weights, and batch norms' statistics, are the mean of those after each of the last n
            epochs (stochastic weight averaging: Izmailov et al. 2018, arXiv 1803.05407); 1 for those of the last
            epoch. It has most effect where the lr stays high: `constant`, or `cosine` with a `min_lr`.
    """

    epochs: int = Field(ge=0)
    batch_size: int = Field(32, ge=2)
    accumulate: int = Field(1, ge=1)
    clip_grad: float | None = Field(None, gt=0)
    optimizer: str = "adamw"
    momentum: float | None = Field(None, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0)
    lr: float = Field(gt=0)
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    min_lr: float = Field(0.0, ge=0)
    decay_epochs: tuple[int, ...] = ()
    decay_rate: float = Field(0.1, gt=0, lt=1)
    warmup_epochs: float = Field(0, ge=0)
    layer_decay: float | None = Field(None, gt=0, lt=1)
    head_lr_factor: float = Field(1.0, gt=0)
    head_init: Literal["auto", "keep", "probe"] = "auto"
    head_only_epochs: int = Field(0, ge=0)
    frozen: Literal["nothing", "batch_norms", "backbone", "all_but_norms"] = "nothing"
    drop_path: float = Field(0.0, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    loss: Literal["cross_entropy", "bce", "focal", "asymmetric", "logit_adjusted"] = "cross_entropy"
    class_weights: Literal["none", "balanced"] = "none"
    sampler: Literal["shuffled", "balanced"] = "shuffled"
    augmentation: tuple[dict[str, Any], ...] = ()
    ema_decay: float | None = Field(None, gt=0, lt=1)
    curves: bool = True
    average_epochs: int = Field(1, ge=1)
    gradient_checkpointing: bool = False

    @model_validator(mode="after")
    def _refuse_settings_without_effect(self) -> Self:
        given = self.model_fields_set
        if self.schedule == "step" and not self.decay_epochs:
            raise ValueError("schedule step needs decay_epochs, e.g. [15, 25]")
        fields = type(self).model_fields  # `make tune` names defaults, because an override cannot remove a key
        if self.schedule != "step" and (self.decay_epochs or self.decay_rate != fields["decay_rate"].default):
            raise ValueError(f"decay_epochs and decay_rate have no effect with `schedule: {self.schedule}`")
        if self.schedule != "cosine" and "min_lr" in given:
            raise ValueError(f"min_lr has no effect with `schedule: {self.schedule}`")
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr} is above lr {self.lr}")
        if self.frozen == "backbone" and given & {"layer_decay", "head_only_epochs", "drop_path", "head_lr_factor"}:
            raise ValueError(
                "layer_decay, head_only_epochs, drop_path, head_lr_factor have no effect on a frozen backbone"
            )
        if self.frozen == "backbone" and self.gradient_checkpointing:
            raise ValueError("gradient_checkpointing has no effect on a frozen backbone: remove it")
        if self.frozen == "all_but_norms" and "drop_path" in given:
            raise ValueError(
                "drop_path has no effect with `frozen: all_but_norms`, because blocks run as in evaluation; remove it"
            )
        if self.epochs == 1 and "curves" in given:
            raise ValueError("curves has no effect with `epochs: 1`: the last epoch always has its point; remove it")
        if len(self.balances()) > 1:
            raise ValueError(f"{' and '.join(self.balances())} both correct for the classes' counts; use one of them")
        if self.ema_decay is not None and self.average_epochs > 1:
            raise ValueError("ema_decay and average_epochs both average the weights; use one of them")
        if self.epochs > 0:
            self._refuse_epochs_out_of_reach()
        return self

    @property
    def is_class_balanced(self) -> bool:
        """Say whether training corrects for the classes' counts, so that its predictions may lack the class priors."""
        return bool(self.balances())

    def balances(self) -> list[str]:
        """Return the settings that correct for the classes' counts."""
        settings = {"class_weights": "balanced", "sampler": "balanced", "loss": "logit_adjusted"}
        return [f"`{key}: {value}`" for key, value in settings.items() if getattr(self, key) == value]

    def _refuse_epochs_out_of_reach(self) -> None:
        if any(epoch < 1 or epoch >= self.epochs for epoch in self.decay_epochs):
            raise ValueError(
                f"decay_epochs {list(self.decay_epochs)} must lie between 1 and epochs - 1 = {self.epochs - 1}"
            )
        if list(self.decay_epochs) != sorted(set(self.decay_epochs)):
            raise ValueError(f"decay_epochs {list(self.decay_epochs)} must increase")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} leaves none of {self.epochs} epochs for the schedule")
        if self.head_only_epochs >= self.epochs:
            raise ValueError(
                f"head_only_epochs {self.head_only_epochs} leaves none of {self.epochs} epochs for the backbone;"
                " for a frozen backbone set `frozen: backbone`"
            )
        if self.average_epochs > self.epochs:
            raise ValueError(f"average_epochs {self.average_epochs} is more than epochs {self.epochs}")


class PretrainSettings(PhaseSettings):
    """Phase 1, with mixup; not ImageNet pretraining: the same as `finetune`, on images mixed by timm's Mixup.

    Attributes:
        mixup, cutmix: alpha of the Beta distribution of the mixing share; 0 for none. With both, each batch uses one
            of them, with equal probability.
        image_size: of this training and of its held-out predictions, both sides, in pixels; null for the member's. A
            smaller one makes phase 1 faster (progressive resizing); `infer_pretrain` predicts at the member's.
    """

    mixup: float = Field(0.4, ge=0)
    cutmix: float = Field(0.0, ge=0)
    image_size: int | None = Field(None, ge=8, le=4096)

    @model_validator(mode="after")
    def _refuse_odd_batches(self) -> Self:
        if (self.mixup or self.cutmix) and self.batch_size % 2:
            raise ValueError(f"batch_size {self.batch_size} is odd, but mixup and cutmix mix pairs; use an even one")
        return self


class FinetuneSettings(PhaseSettings):
    """Phase 2: images without mixup."""


class FixresSettings(PhaseSettings):
    """Optional phase 3, at another image size: an entry of the top-level map `fixres`, by member.

    Random crops enlarge objects, so in a whole image a network finds them smaller than in training. A short training of
    the classifier and the norms only corrects that. Its images are preprocessed as for prediction, at a higher size.

    Source: Touvron et al. 2019, arXiv 1906.06423.

    Attributes:
        epochs: at least 1; to omit the phase, remove the member from the map.
        image_size: of this training and of the predictions of its model, both sides, in pixels.
        augmentation: preferably none or a flip; crops and scaling cause the effect that this phase corrects. The word
            image_size in an argument is replaced by this image_size.
    """

    epochs: int = Field(ge=1)
    image_size: int = Field(ge=8, le=4096)
    frozen: Literal["all_but_norms"] = "all_but_norms"
    head_init: Literal["auto", "keep", "probe"] = "keep"  # of a finetuned model

    @model_validator(mode="after")
    def _refuse_what_the_phase_fixes(self) -> Self:
        fixed = {"frozen", "drop_path", "layer_decay", "head_init", "head_only_epochs"}
        if given := sorted(fixed & self.model_fields_set):
            raise ValueError(
                f"{', '.join(given)}: fixres always trains classifier and norms of a finetuned model: remove it"
            )
        return self


class PseudoSettings(PhaseSettings):
    """Optional phase after `finetune`, with pseudo-labels: an entry of the top-level map `pseudo`, by member.

    Trains on the labelled images of the other folds, and on images whose labels the fold's model does not know: test
    images, and the images of its own fold. Their labels are soft: what that model predicts before the phase. So no
    label of the held-out fold reaches it.

    Sources: Lee 2013, Pseudo-label (ICML workshop); Xie et al. 2020, arXiv 1911.04252 (soft labels).

    Attributes:
        epochs: at least 1; to omit the phase, remove the member from the map.
        threshold: images whose highest class probability is lower are ignored; 0 for none.
        weight: of such an image in the loss; a labelled image has 1.
        temperature: the predicted log probabilities are divided by it: below 1 they become surer, above 1 less sure.
    """

    epochs: int = Field(ge=1)
    threshold: float = Field(0.0, ge=0, lt=1)
    weight: float = Field(1.0, gt=0)
    temperature: float = Field(1.0, gt=0)
    head_init: Literal["auto", "keep", "probe"] = "keep"  # of a finetuned model

    @model_validator(mode="after")
    def _refuse_another_head(self) -> Self:
        if "head_init" in self.model_fields_set:
            raise ValueError("head_init: this phase always goes on with the classifier of a finetuned model: remove it")
        return self


class DistillSettings(PseudoSettings):
    """Optional last phase, distillation of the blend to this member: an entry of the top-level map `distill`.

    The same as `pseudo`, but the soft labels are what the blend of the fold's models predicts, and only test images
    have them: the student is scored as it would predict new images, so it may not have seen its held-out images.

    Source: Hinton et al. 2015, arXiv 1503.02531. There the teacher labels its own training images. Why it does not
    here stands in docs/honest_scores.md.
    """
