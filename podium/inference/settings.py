"""Settings of one member.

The settings of its training lie in podium/training, so a change of the settings of `infer` retrains nothing.
"""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from podium.core.params import Section
from podium.models.settings import ModelSettings, TtaTransform
from podium.training.settings import FinetuneSettings, PretrainSettings


class InferSettings(Section):
    """The image sizes and TTA transforms of a member's predictions.

    Attributes:
        image_sizes: pixels.
        transforms: flips, rotations (counter-clockwise) and crops (7/8 of the side, enlarged to the whole side). The
            probe learns from all of them, and `ensemble` averages predictions over all of them or over a part; use
            rotations only where a rotated image is as likely.
        batch_size: on a CPU at most podium/models/predict.py's CPU_BATCH.
    """

    RENAMED: ClassVar[dict[str, str]] = {"views": "transforms"}

    image_sizes: tuple[int, ...] = Field(min_length=1)
    transforms: tuple[TtaTransform, ...] = Field(("identity", "hflip"), min_length=1)
    batch_size: int = Field(32, ge=1)

    @model_validator(mode="after")
    def _refuse_repeats(self) -> Self:
        if len(set(self.image_sizes)) < len(self.image_sizes) or len(set(self.transforms)) < len(self.transforms):
            raise ValueError("an image size or a transform is listed twice; remove one")
        if min(self.image_sizes) < 8:
            raise ValueError("image sizes are in pixels; use at least 8")
        return self


class SoupSettings(Section):
    """A soup of this member's weights and those of others: an entry of the top-level map `soup`, by member.

    All of them need the same `model`, but for its `image_size`, `seed`, `precision`, `channels_last` and `compile`, and
    pretrained weights, because means of weights from different starts predict nothing.

    Source: Wortsman et al. 2022, arXiv 2203.05482.

    Attributes:
        members: names of the other members, e.g. with another seed, lr or augmentation.
    """

    members: tuple[str, ...] = Field(min_length=1)


class MemberSettings(Section):
    """A member of the ensemble; every section is mandatory, so that DVC knows which phase a change affects.

    Attributes:
        model: its backbone, weights and preprocessing.
        pretrain: phase 1, with mixup; not ImageNet pretraining.
        finetune: phase 2, on images without mixup.
        infer: image sizes and transforms of its predictions.
    """

    model: ModelSettings
    pretrain: PretrainSettings
    finetune: FinetuneSettings
    infer: InferSettings

    @model_validator(mode="after")
    def _require_a_phase_at_the_members_size(self) -> Self:
        size = self.pretrain.image_size
        if size is not None and self.pretrain.epochs > 0 and self.finetune.epochs == 0:
            raise ValueError(
                f"pretrain.image_size {size} needs finetune.epochs, or no phase trains at model.image_size"
                f" {self.model.image_size}; set that instead"
            )
        return self

    @model_validator(mode="after")
    def _refuse_to_compile_what_is_not_trained(self) -> Self:
        if self.model.compile and not self.is_trained:
            raise ValueError("model.compile has no effect with 0 epochs in both phases: only trainings are compiled")
        return self

    @property
    def pretrain_size(self) -> int:
        """Return the image size of phase 1 and of its held-out predictions, in pixels."""
        return self.pretrain.image_size or self.model.image_size

    @property
    def last_phase(self) -> PretrainSettings | FinetuneSettings:
        """Return the phase whose weights `infer` predicts with."""
        return self.finetune if self.finetune.epochs > 0 else self.pretrain

    @property
    def is_trained(self) -> bool:
        """Say whether a phase has epochs; else the probe on the frozen backbone is all that the member predicts."""
        return self.pretrain.epochs + self.finetune.epochs > 0
