"""The `prepare` section."""

from typing import Literal

from pydantic import Field

from podium.core.params import Section


class PrepareSettings(Section):
    """How `prepare` stores every image.

    Attributes:
        short_side: pixels; larger images are shrunk so that their short side is this long.
        encoding: "raw" pixels, or "jpeg" (quality 95) if raw pixels do not fit on the disk.
        max_megapixels: a larger image is refused before it is decoded (decompression bombs).
        bit_depth: of the values in 16-bit files, e.g. 12 for values up to 4095 of a 12-bit camera. null means 16, and
            `prepare` stops where all 16-bit files of a subset hold 14 bits or fewer.
    """

    short_side: int = Field(384, ge=16, le=4096)
    encoding: Literal["raw", "jpeg"] = "raw"
    max_megapixels: float = Field(120.0, gt=0, le=1000)
    bit_depth: int | None = Field(None, ge=8, le=16)
