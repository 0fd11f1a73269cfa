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

DOUBLED_BELOW = 0.4  # true positive rate, of the weighted AUC


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


def _doubled(rate: Values) -> Values:
    """Return the height that a true positive rate counts for (ALASKA2): below 0.4 twice; the highest is 1."""
    return (rate + np.minimum(rate, DOUBLED_BELOW)) / (1 + DOUBLED_BELOW)


def _doubled_integral(rate: Values) -> Values:
    low = np.minimum(rate, DOUBLED_BELOW)
    return (rate**2 / 2 + low**2 / 2 + DOUBLED_BELOW * (rate - low)) / (1 + DOUBLED_BELOW)


def _weighted_auc(ranked: RankedScores) -> Values:
    """Integrate `_doubled` of the true positive rate over the false positive rate, step by step from the top."""
    n_positive = ranked.positives.sum(0)
    n_negative = ranked.tied.sum(0) + ranked.between.sum(0)
    there = (n_positive > 0) & (n_negative > 0)
    after = _from_the_top(ranked.positives) / np.where(there, n_positive, 1)
    before = np.vstack([after[1:], np.zeros_like(after[:1])])
    rise = after - before
    slope = np.divide(
        _doubled_integral(after) - _doubled_integral(before), rise, out=_doubled(before), where=rise > 1e-12
    )
    area = (ranked.tied * slope + ranked.between[:-1] * _doubled(after)).sum(0)
    return _ratio(area, n_negative, there)


def _plain_weighted_auc(own: NDArray[Any], everything: NDArray[Any]) -> float:
    steps, positives = np.unique(own, return_counts=True)
    low, high = (np.searchsorted(everything, steps, side) for side in ("left", "right"))
    between = np.append(low, len(everything)) - np.append(0, high)
    columns = (positives, high - low - positives, between)
    return float(_weighted_auc(RankedScores(*(column.astype(np.float64)[:, None] for column in columns)))[0])


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

# the area whose part below a true positive rate of 0.4 counts twice
WEIGHTED_AUC = RankCurve(_weighted_auc, _plain_weighted_auc)


def class_ranks(targets: NDArray[np.int64], probs: NDArray[Any]) -> Values:
    """Return each image's place of its own class by falling probability, from 1; ties go to the first class."""
    own = probs[np.arange(len(targets)), targets][:, None]
    earlier = np.arange(probs.shape[1]) < targets[:, None]
    return np.asarray(1 + (probs > own).sum(1) + ((probs == own) & earlier).sum(1), np.float64)


def one_against_rest(
    targets: NDArray[np.int64], probs: NDArray[Any], weights: NDArray[Any], curve: RankCurve
) -> Values:
    """Average a curve's area over classes for every weighting: (weightings,).

    Args:
        targets: (images,).
        probs: (images, classes).
        weights: (images, weightings), >= 0.
        curve: ROC_AUC, AVERAGE_PRECISION or WEIGHTED_AUC.
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
