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
    """

    short_side: int = Field(384, ge=16, le=4096)
    encoding: Literal["raw", "jpeg"] = "raw"
    max_megapixels: float = Field(120.0, gt=0, le=1000)
