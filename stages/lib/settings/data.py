"""The sections of the data stages: `prepare`, `analyze` and `split`, and the top-level list `folds`."""

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from stages.lib.params import Section

FOLD = re.compile(r"[A-Za-z0-9_]+")


class PrepareSettings(Section):
    """What is kept of every image.

    Attributes:
        short_side: pixels; larger images are shrunk so that their short side is this long.
        encoding: "raw" pixels, or "jpeg" (quality 95) where raw pixels would not fit on the disk.
        max_megapixels: an image that would decode to more is refused unread (decompression bombs).
    """

    short_side: int = Field(384, ge=16, le=4096)
    encoding: Literal["raw", "jpeg"] = "raw"
    max_megapixels: float = Field(120.0, gt=0, le=1000)


class Thresholds(Section):
    """Below which of cleanvision's scores, in [0, 1], an image is reported; the defaults are cleanvision's own.

    0 reports none. What each score is stands in stages.lib.image_checks.
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


class SplitSettings(Section):
    """How folds are drawn.

    Attributes:
        conflicting_duplicates: what becomes of duplicates whose labels differ. "keep" changes nothing but says so: the
            scored images stay the contest's own, and no label changes unless a person says so in contest.overrides.
            "drop" neither trains on them nor scores them; "majority" gives them their cluster's most frequent label,
            and drops them where there is none.
    """

    seed: int = Field(0, ge=0, lt=2**32)
    conflicting_duplicates: Literal["keep", "drop", "majority"] = "keep"


class FoldList(Section):
    """The folds' names, as text: `folds` stands at the top of params.yaml, since DVC makes stages of it."""

    folds: tuple[str, ...] = Field(min_length=2)

    @field_validator("folds", mode="before")
    @classmethod
    def _fold_names(cls, value: Any) -> Any:
        if not isinstance(value, list) or any(isinstance(v, bool) or not isinstance(v, int | str) for v in value):
            raise ValueError(f"must list the folds' names, e.g. [0, 1, 2, 3, 4], is {value!r}")
        names = [str(v) for v in value]
        wrong = [name for name in names if not FOLD.fullmatch(name)]
        if wrong or len(set(names)) < len(names):
            raise ValueError(f"names are made of letters, digits and _ and stand once each, these are {names}")
        return names
