"""The `prepare` section."""

from typing import Literal, Self

from pydantic import Field, model_validator

from podium.core.colours import RGB
from podium.core.params import Section


class PrepareSettings(Section):
    """How `prepare` stores every image.

    Attributes:
        short_side: pixels; larger images are shrunk so that their short side is this long.
        encoding: "raw" pixels, or "jpeg" (quality 95) if raw pixels do not fit on the disk.
        decoding: "full", or "scaled": a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that is not below
            short_side. Large photos then take a quarter to a half of the time, and pixels differ a little.
        max_megapixels: a larger image is refused before it is decoded (decompression bombs).
        bit_depth: of the values in 16-bit files, e.g. 12 for values up to 4095 of a 12-bit camera. null means 16, and
            `prepare` stops where all 16-bit files of a subset hold 14 bits or fewer.
        channels: of every image. 3 means RGB; other images become RGB. With another number, images keep their channels,
            and members need the same number in `model_kwargs: {in_chans: ...}`.
        value_range: [what becomes 0, what becomes 255] of values that are no bytes: of arrays, and of DICOM in the
            units of its rescaled values. null means a DICOM file's own window, and else each image's own extremes.
    """

    short_side: int = Field(384, ge=16, le=4096)
    encoding: Literal["raw", "jpeg"] = "raw"
    decoding: Literal["full", "scaled"] = "full"
    max_megapixels: float = Field(120.0, gt=0, le=1000)
    bit_depth: int | None = Field(None, ge=8, le=16)
    channels: int = Field(RGB, ge=1, le=64)
    value_range: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _refuse_an_empty_range(self) -> Self:
        if self.value_range is not None and self.value_range[0] >= self.value_range[1]:
            raise ValueError(f"value_range {list(self.value_range)}: the first number must be the smaller one")
        return self

    @model_validator(mode="after")
    def _refuse_what_needs_rgb(self) -> Self:
        if self.encoding == "jpeg" and self.channels != RGB:
            raise ValueError(f"encoding jpeg holds RGB, and channels is {self.channels}: say encoding: raw")
        if self.decoding == "scaled" and self.channels != RGB:
            raise ValueError(f"decoding scaled is for RGB, and channels is {self.channels}: say decoding: full")
        return self
