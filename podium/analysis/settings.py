"""The `analyze` section."""

from typing import Self

from pydantic import Field, model_validator

from podium.core.params import Section


class Thresholds(Section):
    """Below which of cleanvision's scores, in [0, 1], an image is reported; the defaults are cleanvision's own.

    0 reports none. What each score is stands in podium.analysis.image_checks.
    """

    blurry: float = Field(0.29, ge=0, le=1)
    dark: float = Field(0.32, ge=0, le=1)
    light: float = Field(0.05, ge=0, le=1)
    low_information: float = Field(0.3, ge=0, le=1)
    odd_aspect_ratio: float = Field(0.35, ge=0, le=1)


class AnalyzeSettings(Section):
    """When two images count as near duplicates, and when an image counts as odd.

    Attributes:
        max_hash_distance: bits of 63 in which the perceptual hash of a view of one image (brightened, cut, turned,
            mirrored) may differ from the other's to make them candidates.
            null: none, exact duplicates alone count (where a camera that does not move makes all images alike).
        min_similarity: correlation of small grey thumbnails that confirms a candidate, in [0, 1].
        thresholds: of the image checks, e.g. {dark: 0.1} where many images are dark by nature.
    """

    max_hash_distance: int | None = Field(10, ge=0, le=16)
    min_similarity: float = Field(0.97, ge=0, le=1)
    thresholds: Thresholds = Field(default_factory=Thresholds)

    @model_validator(mode="after")
    def _refuse_a_setting_without_effect(self) -> Self:
        if self.max_hash_distance is None and "min_similarity" in self.model_fields_set:
            raise ValueError("min_similarity has no effect with max_hash_distance null: remove it")
        return self
