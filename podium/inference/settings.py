"""Settings of one member.

The settings of its training lie in podium/training, so a change of the settings of `infer` retrains nothing.
"""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from podium.core.params import Section
from podium.models.settings import ModelSettings
from podium.training.settings import FinetuneSettings, PretrainSettings


class InferSettings(Section):
    """The image sizes (pixels) and TTA transforms of a member's predictions."""

    RENAMED: ClassVar[dict[str, str]] = {"views": "transforms"}

    image_sizes: tuple[int, ...] = Field(min_length=1)
    transforms: tuple[Literal["identity", "hflip"], ...] = Field(("identity", "hflip"), min_length=1)
    batch_size: int = Field(32, ge=1)

    @model_validator(mode="after")
    def _refuse_repeats(self) -> Self:
        if len(set(self.image_sizes)) < len(self.image_sizes) or len(set(self.transforms)) < len(self.transforms):
            raise ValueError("an image size or a transform is listed twice; remove one")
        if min(self.image_sizes) < 8:
            raise ValueError("image sizes are in pixels; use at least 8")
        return self


class MemberSettings(Section):
    """A member of the ensemble; every section is mandatory, so that DVC knows which phase a change affects."""

    model: ModelSettings
    pretrain: PretrainSettings
    finetune: FinetuneSettings
    infer: InferSettings

    @property
    def is_trained(self) -> bool:
        """Say whether a phase has epochs; else the probe on the frozen backbone is all that the member predicts."""
        return self.pretrain.epochs + self.finetune.epochs > 0
