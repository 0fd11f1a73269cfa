"""Scores of how probabilities rank images, one class against the rest; for many weightings at once.

Two classes give the curve of the second (1 of 0 and 1); more give the mean over the classes that have an image in the
weighting and an image outside them. NaN where there is none. tests/test_scores.py holds both to scikit-learn's, which
would take a call and a sort for every weighting.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RankedScores:
    """One class's images by rising score, in steps: a step is a score that a positive image has.

    Attributes:
        positives: (steps, weightings) weight of the positive images with the step's score.
        tied: (steps, weightings) weight of the negative images with the step's score.
        between: (steps + 1, weightings) weight of the negative images below the first step, between two, above all.
    """

    positives: Values
    tied: Values
    between: Values

    @classmethod
    def weighted(cls, positive: NDArray[np.bool_], score: NDArray[Any], weights: NDArray[Any]) -> Self:
        """Find every image's step once, for all weightings (images, weightings)."""
        steps = np.unique(score[positive])
        place = np.searchsorted(steps, score)
        tied = np.append(steps, np.nan)[place] == score
        where = 2 * place + tied  # even: below step `place`; odd: on it
        mass = _summed(where, weights, 2 * len(steps) + 1)
        positives = _summed(place[positive], weights[positive], len(steps))
        return cls(positives, mass[1::2] - positives, mass[::2])


def _roc_auc(ranked: RankedScores) -> Values:
    below = ranked.between[:-1].copy()  # then worked on in place: at 20,000 images a new array costs as much as a sum
    below[1:] += ranked.tied[:-1]
    np.cumsum(below, axis=0, out=below)
    below += ranked.tied / 2
    below *= ranked.positives
    wins = below.sum(0)
    pairs = ranked.positives.sum(0) * (ranked.tied.sum(0) + ranked.between.sum(0))
    return _ratio(wins, pairs, pairs > 0)


def _average_precision(ranked: RankedScores) -> Values:
    hits = _from_the_top(ranked.positives)
    misses = _from_the_top(ranked.tied + ranked.between[1:])
    precision = np.divide(hits, hits + misses, out=np.zeros_like(hits), where=hits > 0)
    gained = (ranked.positives * precision).sum(0)
    there = (hits[0] > 0) & (misses[0] + ranked.between[0] > 0)
    return _ratio(gained, hits[0], there)


def _plain_roc_auc(own: NDArray[Any], everything: NDArray[Any]) -> float:
    low, high = (np.searchsorted(everything, own, side) for side in ("left", "right"))
    wins = (int(low.sum()) + int(high.sum()) - len(own) ** 2) / 2  # of ranks, but those among positives themselves
    return wins / (len(own) * (len(everything) - len(own)))


def _plain_average_precision(own: NDArray[Any], everything: NDArray[Any]) -> float:
    no_lower = len(everything) - np.searchsorted(everything, own)
    return float(((len(own) - np.searchsorted(own, own)) / no_lower).mean())


@dataclass(frozen=True)
class RankCurve:
    """The area under a curve, for many weightings of the images at once, and for the one of 1 an image.

    Greedy selection asks for the second tens of thousands of times.

    Attributes:
        weighted: of a class's ranked images: (weightings,).
        plain: (scores of the positive images, of all images), both sorted -> the area; with an image of either kind.
    """

    weighted: Callable[[RankedScores], Values]
    plain: Callable[[NDArray[Any], NDArray[Any]], float]


# the chance that a positive image ranks above a negative one, a tie counting half
ROC_AUC = RankCurve(_roc_auc, _plain_roc_auc)
# the mean, over positive images, of the share of positives among the images ranked no lower
AVERAGE_PRECISION = RankCurve(_average_precision, _plain_average_precision)


def one_against_rest(
    targets: NDArray[np.int64], probs: NDArray[Any], weights: NDArray[Any], curve: RankCurve
) -> Values:
    """Average a curve's area over classes for every weighting: (weightings,).

    Args:
        targets: (images,).
        probs: (images, classes).
        weights: (images, weightings), >= 0.
        curve: ROC_AUC or AVERAGE_PRECISION.
    """
    present = [int(k) for k in np.unique(targets)]
    judged = present if probs.shape[1] > 2 else [k for k in present if k == 1]
    if weights.shape[1] == 1 and bool((weights == 1).all()):
        areas = [_plain(targets == k, probs[:, k], curve) for k in judged]
    else:
        areas = [curve.weighted(RankedScores.weighted(targets == k, probs[:, k], weights)) for k in judged]
    stacked = np.array(areas).reshape(len(judged), weights.shape[1])
    there = np.isfinite(stacked)
    total = np.where(there, stacked, 0).sum(0)
    return _ratio(total, there.sum(0), there.sum(0) > 0)


def _plain(positive: NDArray[np.bool_], score: NDArray[Any], curve: RankCurve) -> Values:
    own = np.sort(score[positive])
    return np.array([curve.plain(own, np.sort(score)) if 0 < len(own) < len(score) else np.nan])


def _ratio(above: Values, below: NDArray[Any], defined: NDArray[np.bool_]) -> Values:
    ratio: Values = np.divide(above, below, out=np.full_like(above, np.nan), where=defined)
    return ratio


def _from_the_top(mass: Values) -> Values:
    return np.cumsum(mass[::-1], axis=0)[::-1]


def _summed(where: NDArray[Any], weights: NDArray[Any], size: int) -> Values:
    """Sum each weighting over the images at each place: (size, weightings)."""
    ones = np.ones(len(where), weights.dtype)
    table = csc_array((ones, where, np.arange(len(where) + 1)), shape=(size, len(where)))
    return np.asarray(table @ weights, np.float64)
