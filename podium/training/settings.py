"""What a member's trainings read: its sections `model` (what its phases share), `pretrain` and `finetune`; `fixres`."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from podium.core.params import Section


class PhaseSettings(Section):
    """One phase of training; with 0 epochs it hands its weights on, and the rest is a switched-off recipe.

    Attributes:
        accumulate: batches whose gradients are summed for one optimizer step.
        clip_grad: largest norm of the gradients; null clips nothing.
        optimizer: timm's name, e.g. adamw, sgd, lamb.
        schedule: timm's cosine, or step (lr x `decay_rate` at each of `decay_epochs`), or constant.
        min_lr: where cosine ends.
        layer_decay: the lr of each layer group is that of the next one times this; null for equal lrs.
        head_lr_factor: the classifier's lr is `lr` times this.
        head_init: "keep" the classifier, or fit it as a logistic regression on frozen features
            ("probe") before the first epoch (linear probing then fine-tuning: Kumar et al. 2022, arXiv 2202.10054).
        head_only_epochs: first epochs in which all but the classifier is frozen.
        frozen: "batch_norms" keep their statistics and weights; "backbone" trains the classifier alone;
            "all_but_norms" trains the classifier, the weights of norms of every kind, and batch norms' statistics.
        class_weights: "balanced" weighs a class by the inverse of its count in the training folds,
            scaled so that the mean weight over training images is 1 (for hard and soft targets alike).
        augmentation: [{Op: kwargs}, ...] of albumentations, OneOf, SomeOf and Sequential nested;
            the word image_size in an argument stands for the member's image_size.
        ema_decay: the weights that go on are an exponential moving average of every step's; null: the last ones.
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
    head_init: Literal["keep", "probe"] = "keep"
    head_only_epochs: int = Field(0, ge=0)
    frozen: Literal["nothing", "batch_norms", "backbone", "all_but_norms"] = "nothing"
    drop_path: float = Field(0.0, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = "none"
    augmentation: tuple[dict[str, Any], ...] = ()
    ema_decay: float | None = Field(None, gt=0, lt=1)

    @model_validator(mode="after")
    def _refuse_settings_without_effect(self) -> Self:
        given = self.model_fields_set
        if self.schedule == "step" and not self.decay_epochs:
            raise ValueError("schedule step needs decay_epochs, e.g. [15, 25]")
        if self.schedule != "step" and given & {"decay_epochs", "decay_rate"}:
            raise ValueError(f"decay_epochs and decay_rate have no effect with `schedule: {self.schedule}`")
        if self.schedule != "cosine" and "min_lr" in given:
            raise ValueError(f"min_lr has no effect with `schedule: {self.schedule}`")
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr} is above lr {self.lr}")
        if self.frozen == "backbone" and given & {"layer_decay", "head_only_epochs", "drop_path", "head_lr_factor"}:
            raise ValueError(
                "layer_decay, head_only_epochs, drop_path, head_lr_factor have no effect on a frozen backbone"
            )
        if self.frozen == "all_but_norms" and "drop_path" in given:
            raise ValueError("drop_path has no effect with `frozen: all_but_norms`: blocks run as in evaluation")
        if self.epochs > 0:
            self._refuse_epochs_out_of_reach()
        return self

    def _refuse_epochs_out_of_reach(self) -> None:
        if any(epoch < 1 or epoch >= self.epochs for epoch in self.decay_epochs):
            raise ValueError(
                f"decay_epochs {list(self.decay_epochs)} must lie within 1 and epochs - 1 = {self.epochs - 1}"
            )
        if list(self.decay_epochs) != sorted(set(self.decay_epochs)):
            raise ValueError(f"decay_epochs {list(self.decay_epochs)} must rise")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} leaves none of {self.epochs} epochs for the schedule")
        if self.head_only_epochs >= self.epochs:
            raise ValueError(
                f"head_only_epochs {self.head_only_epochs} leaves none of {self.epochs} epochs for the backbone;"
                " for a frozen backbone say `frozen: backbone`"
            )


class PretrainSettings(PhaseSettings):
    """The first phase: the same as `finetune`, with mixed images (timm's Mixup).

    Attributes:
        mixup, cutmix: alpha of the Beta distribution the mixing share is drawn from; 0 is off. With both
            on, each batch takes one of them with equal chance.
    """

    mixup: float = Field(0.4, ge=0)
    cutmix: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _refuse_odd_batches(self) -> Self:
        if (self.mixup or self.cutmix) and self.batch_size % 2:
            raise ValueError(f"batch_size {self.batch_size} is odd: mixup and cutmix mix pairs; take an even one")
        return self


class FinetuneSettings(PhaseSettings):
    """The second phase: normal images."""


class FixresSettings(PhaseSettings):
    """The optional third phase, at another image size: a section of the top-level map `fixres`, by member.

    A network trained on crops that enlarge things sees them smaller in a whole image. A short training of the
    classifier and the norms alone, on images as they are when they are predicted and at a higher size, mends that.

    Source: Touvron et al. 2019, arXiv 1906.06423.

    Attributes:
        epochs: 1 at least; to do without the phase, take the member out of the map.
        image_size: pixels, both sides, of this training and of the predictions of its model.
        augmentation: best none or a flip: what crops or scales brings back what the phase mends.
            The word image_size in an argument stands for this image_size.
    """

    epochs: int = Field(ge=1)
    image_size: int = Field(ge=8, le=4096)
    frozen: Literal["all_but_norms"] = "all_but_norms"

    @model_validator(mode="after")
    def _refuse_what_the_phase_fixes(self) -> Self:
        fixed = {"frozen", "drop_path", "layer_decay", "head_init", "head_only_epochs"}
        if given := sorted(fixed & self.model_fields_set):
            raise ValueError(f"{', '.join(given)}: fixres trains classifier and norms of a finished model: remove it")
        return self
