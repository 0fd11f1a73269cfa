"""Altered copies of images: saved again, resized, mirrored, brightened, cropped or rotated.

Every copy is encoded in a file format and decoded again as `prepare` does it.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from podium.analysis import fingerprints
from podium.images import decode

Pixels = npt.NDArray[np.uint8]  # (height, width, 3), RGB
Change = Callable[[Pixels], Pixels]

WHOLE = 1 << 16  # larger than any image's short side: nothing is shrunk
LARGEST = 640  # short side in pixels: on a larger image an alteration would show less


@dataclass(frozen=True)
class Kind:
    """A way to copy an image.

    Attributes:
        group: kinds of one group share a recall target.
        name: description of the alteration.
        change: function that alters the pixels.
        format, quality: of the saved file; quality is for JPEG.
        largest: images are shrunk to this short side first, pixels.
    """

    group: str
    name: str
    change: Change
    format: str = "JPEG"
    quality: int = 90
    largest: int = LARGEST


def read(path: Path, short_side: int) -> Pixels | None:
    """Decode a file as `prepare` does; None if it is not an image."""
    with path.open("rb") as file:
        return decode.decode(file, name=path.name, short_side=short_side, max_megapixels=200).pixels


def copies(path: Path, short_side: int) -> list[fingerprints.Print]:
    """Return the fingerprints of an image's copies, one for each of KINDS, shrunk to a short side."""
    whole = read(path, WHOLE)
    if whole is None:
        raise ValueError(f"{path} is not an image")
    done = []
    for kind in KINDS:
        altered = np.ascontiguousarray(kind.change(decode.shrink(whole, kind.largest)))
        image = decode.shrink(saved(altered, kind.format, kind.quality), short_side)
        done.append(fingerprints.of_image(image))
    return done


def saved(pixels: Pixels, file_format: str, quality: int) -> Pixels:
    """Save pixels as a file and read them again; the quality is for JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, **({"quality": quality} if file_format == "JPEG" else {}))
    file.seek(0)
    found = decode.decode(file, name="copy", short_side=WHOLE, max_megapixels=200)
    if found.pixels is None:
        raise ValueError(f"a copy as {file_format} cannot be read: {found.problem}")
    return found.pixels


def _same(pixels: Pixels) -> Pixels:
    return pixels


def _mirrored(pixels: Pixels) -> Pixels:
    return pixels[:, ::-1]


def _resized(pixels: Pixels, factor: float) -> Pixels:
    height, width = pixels.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(pixels).resize(size, how))


def _brighter(pixels: Pixels, factor: float) -> Pixels:
    return np.asarray(np.clip(pixels * factor + 0.5, 0, 255), np.uint8)


def _cropped(pixels: Pixels, top: float = 0, bottom: float = 0, left: float = 0, right: float = 0) -> Pixels:
    height, width = pixels.shape[:2]
    rows = slice(round(height * top), height - round(height * bottom))
    return pixels[rows, round(width * left) : width - round(width * right)]


def _turned(pixels: Pixels, quarters: int) -> Pixels:
    return np.rot90(pixels, quarters)


def _margin(pixels: Pixels, share: float) -> Pixels:
    return _cropped(pixels, share, share, share, share)


def _cropped_at_random(pixels: Pixels) -> Pixels:
    rng = np.random.default_rng(int(pixels.sum()))
    return _cropped(pixels, *rng.uniform(0, 0.05, 4))


def _mirrored_half(pixels: Pixels) -> Pixels:
    return _resized(_mirrored(pixels), 0.5)


def _cropped_brighter(pixels: Pixels) -> Pixels:
    return _brighter(_margin(pixels, 0.05), 1.3)


KINDS = [
    *[Kind("exact", f"saved as {name}", _same, name, largest=WHOLE) for name in ("PNG", "BMP", "TIFF")],
    *[Kind("re-encoded", f"JPEG of quality {q}", _same, quality=q) for q in (30, 50, 75, 95)],
    *[Kind("resized", f"to {f:g} of its sides", partial(_resized, factor=f)) for f in (0.25, 0.5, 0.75, 1.5, 2)],
    Kind("mirrored", "left to right", _mirrored),
    *[Kind("brightness", f"times {f:g}", partial(_brighter, factor=f)) for f in (0.7, 0.85, 1.15, 1.3)],
    Kind("cropped", "5 % off each side", partial(_margin, share=0.05)),
    *[Kind("turned", f"by {90 * quarters} degrees", partial(_turned, quarters=quarters)) for quarters in (1, 2, 3)],
    Kind("no target", "3 % off each side", partial(_margin, share=0.03)),
    Kind("no target", "5 % off the left", partial(_cropped, left=0.05)),
    Kind("no target", "5 % off the top and the left", partial(_cropped, top=0.05, left=0.05)),
    Kind("no target", "0 to 5 % off each side, at random", _cropped_at_random),
    Kind("no target", "mirrored, half its sides, JPEG of quality 50", _mirrored_half, quality=50),
    Kind("no target", "5 % off each side, times 1.3, JPEG of quality 50", _cropped_brighter, quality=50),
]
TARGETS = {
    "exact": 1.0, "re-encoded": 0.98, "resized": 0.98, "mirrored": 0.98, "brightness": 0.98, "cropped": 0.9,
    "turned": 0.9,
}  # fmt: skip
