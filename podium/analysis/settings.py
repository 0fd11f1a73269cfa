"""The `analyze` section."""

from typing import Self

from pydantic import Field, model_validator

from podium.core.params import Section


class Thresholds(Section):
    """An image is reported if its cleanvision score, in [0, 1], is below; the defaults are cleanvision's own.

    0 reports no image. podium.analysis.image_checks describes each score.

    Attributes:
        blurry: of the sharpness, from edges and grey levels.
        dark: of the brightness that 1% of the pixels exceed.
        light: of 1 minus the brightness that 95% of the pixels exceed.
        low_information: of a tenth of the entropy in bits.
        odd_aspect_ratio: the short side divided by the long one.
    """

    blurry: float = Field(0.29, ge=0, le=1)
    dark: float = Field(0.32, ge=0, le=1)
    light: float = Field(0.05, ge=0, le=1)
    low_information: float = Field(0.3, ge=0, le=1)
    odd_aspect_ratio: float = Field(0.35, ge=0, le=1)


class AnalyzeSettings(Section):
    """When two images are near duplicates, and when an image is reported as odd.

    Attributes:
        max_hash_distance: two images are candidates if the perceptual hash of a variant of one (brightened, cropped,
            turned, mirrored) differs from the other's in at most so many of 63 bits.
            null: report exact duplicates only (e.g. if a fixed camera makes all images similar).
        min_similarity: correlation of small grey thumbnails that confirms a candidate, in [0, 1].
        thresholds: of the image checks, e.g. {dark: 0.1} if many images are dark by nature.
    """

    max_hash_distance: int | None = Field(10, ge=0, le=16)
    min_similarity: float = Field(0.97, ge=0, le=1)
    thresholds: Thresholds = Field(default_factory=Thresholds)

    @model_validator(mode="after")
    def _refuse_a_setting_without_effect(self) -> Self:
        if self.max_hash_distance is None and "min_similarity" in self.model_fields_set:
            raise ValueError("min_similarity has no effect with max_hash_distance null: remove it")
        return self
