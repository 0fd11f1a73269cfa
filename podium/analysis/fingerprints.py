"""Fingerprints of images for the duplicate search: a digest of the pixels, small grey thumbnails and the mean colour.

All sums are over integers that floats hold exactly, so a fingerprint depends neither on the order of summation nor on
the machine.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from podium.core import parallel

SIDE = 64  # pixels of a thumbnail's side; compared at half of it, so that crops of a thumbnail can be compared too
GAIN = 1.3  # of the brightened thumbnail; bright pixels saturate as in a brightened copy
MIN_CONTRAST = 4.0  # grey levels of 255; below, a thumbnail is mostly rounding errors and is similar to anything
BLOCKS = 8  # per side of a thumbnail, to measure how much of it is flat
FLAT, MANY_FLAT = 0.05, 0.3  # share of the picture's contrast below which a block is flat; share of flat blocks
FEW_EDGES = 350  # of nearly 4,000 pixels: fewer than this make the edges of a plain drawing; in most photos 500 do
CHUNK = 64  # images per task of a worker

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Print = tuple[str, Image, Image]  # digest; thumbnails (2, SIDE, SIDE), plain and brightened; mean colour (3,)

_BRIGHTER = np.minimum(np.floor(np.arange(256) * GAIN + 0.5), 255).astype(np.uint8)


class ImageSource(Protocol):
    """Any map of image ids to pixels, e.g. a pack (podium.core.pixels) or a dict."""

    def __getitem__(self, image_id: str) -> Image:
        """Return the image, (height, width, 3)."""
        ...


@dataclass(frozen=True)
class Prints:
    """The fingerprints of a subset's images.

    Attributes:
        image_ids: in the given order.
        digests: sha256 of each image's size and decoded pixels.
        thumbs: (images, 2, SIDE, SIDE), grey: plain, and brightened by GAIN before the conversion to grey.
        colours: (images, 3), mean red, green and blue.
    """

    image_ids: list[str]
    digests: list[str]
    thumbs: Image
    colours: Image


def prints(
    pack: ImageSource,
    image_ids: Sequence[str],
    *,
    workers: int = 0,
    bar: Callable[[Iterable[Print]], Iterable[Print]] = iter,
) -> Prints:
    """Fingerprint the given images; the result is the same for any number of worker processes.

    Args:
        workers: below 2 the work is done in this process; else the pack must be picklable.
        bar: wraps the iterator of fingerprints, one per image.
    """
    chunks = [image_ids[start : start + CHUNK] for start in range(0, len(image_ids), CHUNK)]
    done = parallel.in_order(
        partial(_of_chunk, pack), chunks, workers=workers, name=lambda c: f"{c[0]} to {c[-1]}", preload=(__name__,)
    )
    return collected(image_ids, bar(one for chunk in done for one in chunk))


def collected(image_ids: Sequence[str], made: Iterable[Print]) -> Prints:
    """Collect the fingerprints of a subset's images, one per image, in the same order."""
    digests, thumbs = [], np.empty((len(image_ids), 2, SIDE, SIDE), np.uint8)
    colours = np.empty((len(image_ids), 3), np.uint8)
    for position, (digested, thumb, colour) in enumerate(made):
        digests.append(digested)
        thumbs[position], colours[position] = thumb, colour
    return Prints(list(image_ids), digests, thumbs, colours)


def _of_chunk(pack: ImageSource, image_ids: Sequence[str]) -> list[Print]:
    return [of_image(pack[image_id]) for image_id in image_ids]


def of_image(image: Image) -> Print:
    """Fingerprint an RGB image (height, width, 3)."""
    return digest(image), thumbnails(image), mean_colour(image)


def digest(image: Image) -> str:
    """Hash the size and pixels of an image (height, width, 3)."""
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def thumbnails(image: Image) -> Image:
    """Return grey thumbnails (2, SIDE, SIDE) of an RGB image: plain and brightened, without its aspect ratio."""
    both = [cv2.cvtColor(version, cv2.COLOR_RGB2GRAY) for version in (image, cv2.LUT(image, _BRIGHTER))]
    rows, columns = (area_weights(size, SIDE) for size in image.shape[:2])
    return shrunk(np.stack(both), rows, columns)


def mean_colour(image: Image) -> Image:
    """Return the mean colour (3,) of an image (height, width, 3), in whole levels."""
    mean: Image = (image.reshape(-1, 3).sum(axis=0, dtype=np.int64) // math.prod(image.shape[:2])).astype(np.uint8)
    return mean


@lru_cache(maxsize=128)  # 0.5 MB each at 1,000 pixels, in every worker; computing one takes 0.7 ms
def area_weights(size: int, side: int, cut: tuple[int, int] = (0, 0), unit: int = 1) -> Floats:
    """Return the overlap of each of `size` pixels with each of `side` equal cells: (side, size), whole numbers.

    Args:
        cut: cropped at the start and at the end before the rest is divided into cells, in 1 / unit of the size.
    """
    pixel = unit * side  # the length of a pixel in units in which the edges of cells are whole numbers
    edges = size * (cut[0] * side + (unit - sum(cut)) * np.arange(side + 1))
    start = np.arange(size) * pixel
    overlap = np.minimum(edges[1:, None], start + pixel) - np.maximum(edges[:-1, None], start)
    weights: Floats = np.maximum(overlap, 0).astype(np.float64)
    return weights


def shrunk(grey: Image, rows: Floats, columns: Floats) -> Image:
    """Return the means of (..., height, width) over cells with these area_weights, in whole grey levels."""
    total = rows[0].sum() * columns[0].sum()
    means: Image = np.floor((rows @ grey.astype(np.float64) @ columns.T) / total + 0.5).astype(np.uint8)
    return means


def plain(pictures: Image) -> npt.NDArray[np.bool_]:
    """Return which pictures (pictures, SIDE, SIDE) are plain drawings: a few flat areas, e.g. a box on a ground.

    Such a picture is mostly flat, and few pixels make its edges. So some turned window of it is similar to any other
    picture that shows as little.
    """
    is_plain = np.empty(len(pictures), np.bool_)
    for start in range(0, len(pictures), CHUNK):
        some = slice(start, start + CHUNK)
        is_plain[some] = (_flat_share(pictures[some]) >= MANY_FLAT) & (_edges(pictures[some]) < FEW_EDGES)
    return is_plain


def _flat_share(pictures: Image) -> Floats:
    """Return the share of each picture's blocks that have almost none of its contrast."""
    side = SIDE // BLOCKS
    blocks = pictures.reshape(-1, BLOCKS, side, BLOCKS, side).swapaxes(2, 3).reshape(-1, side, side)
    share: Floats = (contrasts(blocks).reshape(len(pictures), -1) < FLAT * contrasts(pictures)[:, None]).mean(axis=1)
    return share


def _edges(pictures: Image) -> Floats:
    """Return the effective number of edge pixels: (sum of squared gradients) ** 2 / sum of their squares."""
    values = pictures.astype(np.int64)
    across, down = np.diff(values, axis=2)[:, :-1], np.diff(values, axis=1)[:, :, :-1]
    squared = (across**2 + down**2).reshape(len(pictures), -1)
    carried: Floats = squared.sum(axis=1) ** 2 / np.maximum((squared**2).sum(axis=1), 1)
    return carried


def contrasts(pictures: Image) -> Floats:
    """Return the standard deviation of each picture (pictures, side, side), in grey levels."""
    n = math.prod(pictures.shape[1:])
    values = pictures.reshape(len(pictures), n).astype(np.int64)
    spread: Floats = np.sqrt(n * (values**2).sum(axis=1) - values.sum(axis=1) ** 2) / n
    return spread
