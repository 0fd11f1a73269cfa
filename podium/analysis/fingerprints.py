"""What is kept of every image to compare it with all others: a digest of its pixels, and small grey versions.

All sums are of integers that floats hold exactly, so that a fingerprint depends neither on the order of summation
nor on the machine.
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

SIDE = 64  # pixels of a thumbnail's side: twice what is compared, so that cut-outs of it can be compared too
GAIN = 1.3  # how much brighter the second thumbnail is: what was bright is saturated as in a brightened copy
MIN_CONTRAST = 4.0  # grey levels of 255; below it a thumbnail is mostly rounding, and resembles anything
BLOCKS = 8  # a thumbnail's side is divided in so many to find what is flat
FLAT, MANY_FLAT = 0.05, 0.3  # of the picture's contrast; share of blocks
FEW_EDGES = 350  # pixels of nearly 4,000 that carry a plain picture's edges; in most photos 500 do
CHUNK = 64  # images a worker takes at once

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Print = tuple[str, Image, Image]  # digest; (2, SIDE, SIDE) as it is and brightened; mean colour (3,)

_BRIGHTER = np.minimum(np.floor(np.arange(256) * GAIN + 0.5), 255).astype(np.uint8)


class Pack(Protocol):
    """What is needed of a pack of pixels (podium.core.pixels.Packed)."""

    def __getitem__(self, image_id: str) -> Image:
        """Return the image, (height, width, 3)."""
        ...


@dataclass(frozen=True)
class Prints:
    """The fingerprints of a subset's images.

    Attributes:
        image_ids: in the order given.
        digests: sha256 of each image's size and decoded pixels.
        thumbs: (images, 2, SIDE, SIDE), grey: as the image is, and brightened by GAIN before it turned grey.
        colours: (images, 3), mean red, green and blue.
    """

    image_ids: list[str]
    digests: list[str]
    thumbs: Image
    colours: Image


def prints(
    pack: Pack, image_ids: Sequence[str], *, workers: int = 0, bar: Callable[[Iterable[Print]], Iterable[Print]] = iter
) -> Prints:
    """Fingerprint the images named; the same whatever the number of worker processes.

    Args:
        workers: below 2 the work is done in this process, else the pack must be picklable.
        bar: wraps the fingerprints as they come, one an image.
    """
    chunks = [image_ids[start : start + CHUNK] for start in range(0, len(image_ids), CHUNK)]
    done = parallel.in_order(
        partial(_of_chunk, pack), chunks, workers=workers, name=lambda c: f"{c[0]} to {c[-1]}", preload=(__name__,)
    )
    return collected(image_ids, bar(one for chunk in done for one in chunk))


def collected(image_ids: Sequence[str], made: Iterable[Print]) -> Prints:
    """Put the fingerprints of a subset's images together, one an image, in their order."""
    digests, thumbs = [], np.empty((len(image_ids), 2, SIDE, SIDE), np.uint8)
    colours = np.empty((len(image_ids), 3), np.uint8)
    for position, (digested, thumb, colour) in enumerate(made):
        digests.append(digested)
        thumbs[position], colours[position] = thumb, colour
    return Prints(list(image_ids), digests, thumbs, colours)


def _of_chunk(pack: Pack, image_ids: Sequence[str]) -> list[Print]:
    return [of_image(pack[image_id]) for image_id in image_ids]


def of_image(image: Image) -> Print:
    """Fingerprint an RGB image (height, width, 3)."""
    return digest(image), thumbnails(image), mean_colour(image)


def digest(image: Image) -> str:
    """Hash the size and pixels of an image (height, width, 3)."""
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def thumbnails(image: Image) -> Image:
    """Return grey (2, SIDE, SIDE) versions of an RGB image: as it is, and brightened; the aspect ratio is given up."""
    both = [cv2.cvtColor(version, cv2.COLOR_RGB2GRAY) for version in (image, cv2.LUT(image, _BRIGHTER))]
    rows, columns = (area_weights(size, SIDE) for size in image.shape[:2])
    return shrunk(np.stack(both), rows, columns)


def mean_colour(image: Image) -> Image:
    """Return the mean (3,) of an image (height, width, 3), in whole levels."""
    mean: Image = (image.reshape(-1, 3).sum(axis=0, dtype=np.int64) // math.prod(image.shape[:2])).astype(np.uint8)
    return mean


@lru_cache(maxsize=128)  # of 0.5 MB at 1,000 pixels, and in every worker; 0.7 ms to make again
def area_weights(size: int, side: int, cut: tuple[int, int] = (0, 0), unit: int = 1) -> Floats:
    """Return how much of each of `size` pixels lies in each of `side` equal cells, (side, size), in whole numbers.

    Args:
        cut: what is cut off at the start and at the end before the rest is divided, in 1 / unit of the size.
    """
    pixel = unit * side  # a pixel's length, in which the cells' edges are whole
    edges = size * (cut[0] * side + (unit - sum(cut)) * np.arange(side + 1))
    start = np.arange(size) * pixel
    overlap = np.minimum(edges[1:, None], start + pixel) - np.maximum(edges[:-1, None], start)
    weights: Floats = np.maximum(overlap, 0).astype(np.float64)
    return weights


def shrunk(grey: Image, rows: Floats, columns: Floats) -> Image:
    """Return the means of (..., height, width) over cells, by their area_weights, rounded to whole grey levels."""
    total = rows[0].sum() * columns[0].sum()
    means: Image = np.floor((rows @ grey.astype(np.float64) @ columns.T) / total + 0.5).astype(np.uint8)
    return means


def plain(pictures: Image) -> npt.NDArray[np.bool_]:
    """Say which pictures (pictures, SIDE, SIDE) are drawn in a few flat areas, as a box on a ground is.

    Much of such a picture is flat, and few pixels make its edges, so that windows of it, turned as need be, resemble
    any other that shows as little.
    """
    found = np.empty(len(pictures), np.bool_)
    for start in range(0, len(pictures), CHUNK):
        some = slice(start, start + CHUNK)
        found[some] = (_flat_share(pictures[some]) >= MANY_FLAT) & (_edges(pictures[some]) < FEW_EDGES)
    return found


def _flat_share(pictures: Image) -> Floats:
    """Return the share of each picture's blocks that have next to none of its contrast."""
    side = SIDE // BLOCKS
    blocks = pictures.reshape(-1, BLOCKS, side, BLOCKS, side).swapaxes(2, 3).reshape(-1, side, side)
    share: Floats = (contrasts(blocks).reshape(len(pictures), -1) < FLAT * contrasts(pictures)[:, None]).mean(axis=1)
    return share


def _edges(pictures: Image) -> Floats:
    """Return how many pixels carry each picture's edges: (sum of squared gradients) ** 2 / sum of their squares."""
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
