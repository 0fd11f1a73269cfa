"""Similarity of two small grey pictures: as a whole, in the block where they differ most, and in the best window.

Sums are over integers that floats hold exactly, and what follows are correctly rounded operations on single numbers. So
a decision depends neither on the other pairs of the batch nor on the machine.
"""

import itertools
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from podium.analysis.fingerprints import Image
from podium.analysis.hash_variants import SIDE, Window, cut_out

BLOCKS = 8  # per side, to find where two pictures differ most
FINE = 256  # steps of a standard deviation
# Largest crop at a side, in 1 / hash_variants.UNIT: 10 %. With more freedom, different sunsets become similar.
MAX_CUT = 8
STEPS = (2, 1)  # of the search for a window, in 1 / hash_variants.UNIT
MIN_AFTER_ROUND = 0.9  # the search stops if the similarity is below this after each side was moved once

Floats = npt.NDArray[np.float64]


def similarities(first: Image, second: Image) -> Floats:
    """Return the correlation of each pair of pictures, (pairs, SIDE, SIDE) each -> (pairs,); 0 without contrast.

    The sums are over integers of at most 128 x 128 x SIDE x SIDE = 2 ** 24, which float32 holds exactly.
    """
    a, b = (x.reshape(len(x), SIDE**2).astype(np.float32) - 128 for x in (first, second))
    totals = [x.sum(axis=1).astype(np.float64) for x in (a, b)]
    products = [np.einsum("ij,ij->i", x, y).astype(np.float64) for x, y in ((a, b), (a, a), (b, b))]
    covariance = SIDE**2 * products[0] - totals[0] * totals[1]
    scale = np.sqrt((SIDE**2 * products[1] - totals[0] ** 2) * (SIDE**2 * products[2] - totals[1] ** 2))
    correlation: Floats = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
    return correlation


def local_differences(first: Image, second: Image) -> Floats:
    """Return how much each pair of pictures differs in the block where it differs most, (pairs,).

    That is the root mean square over the block, of the pictures scaled to mean 0 and standard deviation 1. A small
    object in only one picture changes this value, but hardly the correlation.
    """
    difference = _standardised(first) - _standardised(second)
    blocks = (difference**2).reshape(len(first), BLOCKS, SIDE // BLOCKS, BLOCKS, SIDE // BLOCKS).sum(axis=(2, 4))
    worst: Floats = np.sqrt(blocks.max(axis=(1, 2), initial=0)) * BLOCKS / (SIDE * FINE)
    return worst


def _standardised(pictures: Image) -> Floats:
    """Return (pictures, SIDE, SIDE), scaled to mean 0 and standard deviation FINE, rounded; 0 without contrast."""
    n = SIDE**2
    values = pictures.reshape(len(pictures), n).astype(np.float64)
    totals = values.sum(axis=1, keepdims=True)
    spread = np.sqrt(n * (values**2).sum(axis=1, keepdims=True) - totals**2)
    scaled = np.divide(n * values - totals, spread, out=np.zeros_like(values), where=spread > 0)
    standardised: Floats = np.round(scaled * FINE).reshape(pictures.shape)
    return standardised


def best_window(thumb: Image, target: Image, start: Window) -> tuple[float, Window]:
    """Return the similarity and the window of a thumbnail that is most similar to the target.

    Each side of the window is moved in turn while that helps, first by 2.5 %, then by 1.25 %. The search stops early
    if the similarity is still low after the first round.

    Args:
        thumb: (fingerprints.SIDE, fingerprints.SIDE).
        target: (SIDE, SIDE), in the same turn as the thumbnail.
        start: the window where the search starts.
    """
    best = _fit(thumb, target, start), start
    for step in STEPS:
        before = None
        while before != best:
            before = best
            best = _round(thumb, target, best, step)
            if best[0] < MIN_AFTER_ROUND:
                return best
    return best


def _round(thumb: Image, target: Image, best: tuple[float, Window], step: int) -> tuple[float, Window]:
    for side, move in itertools.product(range(4), (step, -step)):
        tried = _moved(best[1], side, move)
        if 0 <= tried[side] <= MAX_CUT:
            best = max(best, (_fit(thumb, target, tried), tried), key=itemgetter(0))
    return best


def _moved(window: Window, side: int, move: int) -> Window:
    top, bottom, left, right = (cut + move * (k == side) for k, cut in enumerate(window))
    return top, bottom, left, right


def _fit(thumb: Image, target: Image, window: Window) -> float:
    return float(similarities(cut_out(thumb, window)[None], target[None])[0])
