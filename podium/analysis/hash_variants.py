"""The ways in which a copy may differ from its image, as variants of the image's thumbnails, each with a hash.

A variant is brightened or not, cut at some sides or not (together its shot), and turned or mirrored in one of the
eight ways a square can be. The hash of a turned variant is that of the upright one with bits turned over and swapped:
turns cost nothing.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from podium.analysis.fingerprints import SIDE as THUMB
from podium.analysis.fingerprints import Image, area_weights, shrunk

SIDE = 32  # pixels of a variant's side
UNIT = 80  # cuts are in 1/80 of a side
Window = tuple[int, int, int, int]  # cut off at the top, bottom, left and right, in 1 / UNIT
MARGINS: list[Window] = [(0, 0, 0, 0), (2, 2, 2, 2), (4, 4, 4, 4)]  # nothing, 2.5 %, 5 % off each side
SIDES: list[Window] = [(4, 0, 0, 0), (0, 4, 0, 0), (0, 0, 4, 0), (0, 0, 0, 4)]
CORNERS: list[Window] = [(4, 0, 4, 0), (4, 0, 0, 4), (0, 4, 4, 0), (0, 4, 0, 4)]
SHOTS = [(0, window) for window in MARGINS] + [(1, window) for window in MARGINS]  # (brightened, cut), before turns
SHOTS += [(0, window) for window in SIDES + CORNERS]
TURNS = 8  # bit 2: rows and columns swapped; then bit 0: left and right, bit 1: up and down exchanged
MIRRORED, ROTATED = (1, 2, 4, 7), (3, 5, 6)  # turns
HASH_SIDE = 8  # lowest frequencies kept each way
CHUNK = 256  # thumbnails at once

Hashes = npt.NDArray[np.uint64]

_COSINES = np.round(
    1024 * np.cos(np.pi * np.arange(HASH_SIDE)[:, None] * (2 * np.arange(SIDE) + 1) / (2 * SIDE))
)  # whole numbers: the sums below are exact
_POWERS = np.uint64(1) << np.arange(HASH_SIDE**2, dtype=np.uint64)


def shot(thumbs: Image, kind: int) -> Image:
    """Return the variants of one of SHOTS of all images, (images, SIDE, SIDE).

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
    """Return what is inside a window of thumbnails (..., THUMB, THUMB), (..., SIDE, SIDE)."""
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
    """Return the signs of the lowest frequencies of each variant in each turn as 64 bits, (turns, variants).

    Unlike the usual threshold at the median, the sign knows mirroring: it turns frequencies of odd order over.

    Source: Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions (pHash).
    """
    found = np.empty((len(turns), len(variants)), np.uint64)
    for start in range(0, len(variants), CHUNK):
        frequencies = _COSINES @ variants[start : start + CHUNK].astype(np.float64) @ _COSINES.T
        frequencies[:, 0, 0] = 0  # the mean says nothing about the picture
        for row, turn in zip(found, turns, strict=True):
            signs = _turned_frequencies(frequencies, turn).reshape(-1, HASH_SIDE**2) > 0
            row[start : start + CHUNK] = (signs * _POWERS).sum(axis=1, dtype=np.uint64)
    return found


def _turned_frequencies(frequencies: npt.NDArray[np.float64], turn: int) -> npt.NDArray[np.float64]:
    odd = 1 - 2 * (np.arange(HASH_SIDE) % 2)
    if turn & 4:
        frequencies = frequencies.swapaxes(-1, -2)
    if turn & 2:
        frequencies = frequencies * odd[:, None]
    return frequencies * odd if turn & 1 else frequencies
