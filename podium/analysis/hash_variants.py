"""Hash variants: an image's thumbnail as an edited copy would have it, each with a perceptual hash.

A variant has a shot and a turn. The shot says whether it is brightened and how it is cropped. The turn is one of the
eight ways to turn or mirror a square. The hash of a turned variant follows from the hash of the upright one by flipping
and swapping bits, so turns cost nothing.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from podium.analysis.fingerprints import SIDE as THUMB
from podium.analysis.fingerprints import Image, area_weights, shrunk

SIDE = 32  # pixels of a variant's side
UNIT = 80  # crops are in 1/80 of a side
Window = tuple[int, int, int, int]  # cropped at the top, bottom, left and right, in 1 / UNIT
MARGINS: list[Window] = [(0, 0, 0, 0), (2, 2, 2, 2), (4, 4, 4, 4)]  # nothing, 2.5 %, 5 % off each side
SIDES: list[Window] = [(4, 0, 0, 0), (0, 4, 0, 0), (0, 0, 4, 0), (0, 0, 0, 4)]
CORNERS: list[Window] = [(4, 0, 4, 0), (4, 0, 0, 4), (0, 4, 4, 0), (0, 4, 0, 4)]
SHOTS = [(0, window) for window in MARGINS] + [(1, window) for window in MARGINS]  # (brightened, crop), before turns
SHOTS += [(0, window) for window in SIDES + CORNERS]
TURNS = 8  # bit 2: swap rows and columns; then bit 0: swap left and right, bit 1: swap up and down
MIRRORED, ROTATED = (1, 2, 4, 7), (3, 5, 6)  # turns
HASH_SIDE = 8  # lowest frequencies used in each direction
CHUNK = 256  # thumbnails processed at once

Hashes = npt.NDArray[np.uint64]

_COSINES = np.round(
    1024 * np.cos(np.pi * np.arange(HASH_SIDE)[:, None] * (2 * np.arange(SIDE) + 1) / (2 * SIDE))
)  # whole numbers: the sums below are exact
_POWERS = np.uint64(1) << np.arange(HASH_SIDE**2, dtype=np.uint64)


def shot(thumbs: Image, kind: int) -> Image:
    """Return all images in one of SHOTS, (images, SIDE, SIDE).

    Args:
        thumbs: (images, 2, THUMB, THUMB), of fingerprints.Prints.
    """
    pictures = np.empty((len(thumbs), SIDE, SIDE), np.uint8)
    brightened, window = SHOTS[kind]
    for start in range(0, len(thumbs), CHUNK):
        some = slice(start, start + CHUNK)
        pictures[some] = cut_out(thumbs[some, brightened], window)
    return pictures


def cut_out(thumbs: Image, window: Window) -> Image:
    """Crop thumbnails (..., THUMB, THUMB) to a window and shrink them to (..., SIDE, SIDE)."""
    rows, columns = (area_weights(THUMB, SIDE, cut, UNIT) for cut in (window[:2], window[2:]))
    return shrunk(thumbs, rows, columns)


def turned(variants: Image, turn: int) -> Image:
    """Turn or mirror squares (..., side, side)."""
    if turn & 4:
        variants = variants.swapaxes(-1, -2)
    return variants[..., :: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]


def turned_back(variants: Image, turn: int) -> Image:
    """Undo `turned`."""
    flipped = turned(variants, turn & 3)
    return flipped.swapaxes(-1, -2) if turn & 4 else flipped


def hashes(variants: Image, turns: Sequence[int] = range(TURNS)) -> Hashes:
    """Return the hash of each variant in each turn, (turns, variants): the signs of the 64 lowest frequencies.

    Most implementations threshold at the median. The sign is used here because mirroring flips the sign of
    frequencies of odd order.

    Source: Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions (pHash).
    """
    bits = np.empty((len(turns), len(variants)), np.uint64)
    for start in range(0, len(variants), CHUNK):
        frequencies = _COSINES @ variants[start : start + CHUNK].astype(np.float64) @ _COSINES.T
        frequencies[:, 0, 0] = 0  # the mean brightness does not identify the picture
        for row, turn in zip(bits, turns, strict=True):
            signs = _turned_frequencies(frequencies, turn).reshape(-1, HASH_SIDE**2) > 0
            row[start : start + CHUNK] = (signs * _POWERS).sum(axis=1, dtype=np.uint64)
    return bits


def _turned_frequencies(frequencies: npt.NDArray[np.float64], turn: int) -> npt.NDArray[np.float64]:
    odd = 1 - 2 * (np.arange(HASH_SIDE) % 2)
    if turn & 4:
        frequencies = frequencies.swapaxes(-1, -2)
    if turn & 2:
        frequencies = frequencies * odd[:, None]
    return frequencies * odd if turn & 1 else frequencies
