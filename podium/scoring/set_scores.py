"""Scores of sets of labels, for many weightings of the images at once; a metric's file names those that it uses.

A set is predicted as podium.core.targets.predicted_sets says. A label that no image has and none is predicted to have
is left out of a mean over labels. tests/test_set_scores.py holds every function to scikit-learn's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.core import targets
from podium.scoring import rank_scores
from podium.scoring.rank_scores import RankCurve

Values = NDArray[np.float64]
_TINY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class LabelSets:
    """Images with their sets of labels, true and predicted.

    Attributes:
        truth: (images, labels).
        probs: (images, labels) of each label by itself.
        fewest: labels of an image at least.
    """

    truth: NDArray[np.bool_]
    probs: NDArray[Any]
    fewest: int

    @cached_property
    def predicted(self) -> NDArray[np.bool_]:
        """Return the predicted labels (images, labels)."""
        return targets.predicted_sets(self.probs, self.fewest)


def micro(sets: LabelSets, weights: NDArray[Any], beta: float = 1.0) -> Values:
    """Return F-beta of all labels of all images taken together; 0 where none is true or predicted."""
    return _f_beta([counts.sum(1) @ weights for counts in _counts(sets)], beta, empty=0.0)


def macro(sets: LabelSets, weights: NDArray[Any], beta: float = 1.0) -> Values:
    """Return the mean over labels of F-beta; labels that are neither true nor predicted are left out."""
    by_label = _f_beta([counts.T @ weights for counts in _counts(sets)], beta, empty=np.nan)
    return _mean_of_defined(by_label, np.zeros(weights.shape[1]))


def samples(sets: LabelSets, weights: NDArray[Any], beta: float = 1.0) -> Values:
    """Return the mean over images of F-beta; an empty set that is predicted as such counts 1."""
    by_image = _f_beta([counts.sum(1) for counts in _counts(sets)], beta, empty=1.0)
    return np.asarray(by_image @ weights / weights.sum(0, dtype=np.float64), np.float64)


def columns(sets: LabelSets, weights: NDArray[Any], curve: RankCurve) -> Values:
    """Return the mean over labels of the area under a curve; NaN where no label is both true and false of images."""
    areas = [
        rank_scores.one_against_rest(truth.astype(np.int64), np.column_stack([-score, score]), weights, curve)
        for truth, score in zip(sets.truth.T, sets.probs.T, strict=True)
    ]
    return _mean_of_defined(np.array(areas), np.full(weights.shape[1], np.nan))


def log_loss(sets: LabelSets, weights: NDArray[Any]) -> Values:
    """Return the mean over labels and images of the binary cross-entropy in nats."""
    own = np.where(sets.truth, sets.probs.astype(np.float64), 1 - sets.probs.astype(np.float64))
    losses = -np.log(np.clip(own, _TINY, 1 - _TINY)).mean(1)
    return np.asarray(losses @ weights / weights.sum(0, dtype=np.float64), np.float64)


def _counts(sets: LabelSets) -> tuple[Values, Values, Values]:
    """Return hits, true and predicted labels: each (images, labels)."""
    found = (sets.truth & sets.predicted, sets.truth, sets.predicted)
    return found[0].astype(np.float64), found[1].astype(np.float64), found[2].astype(np.float64)


def _f_beta(counts: Sequence[Values], beta: float, empty: float) -> Values:
    """Return F-beta of `_counts` that were summed; `empty` where nothing is true or predicted."""
    hits, true, predicted = counts
    below = beta**2 * true + predicted
    return np.divide((1 + beta**2) * hits, below, out=np.full_like(hits, empty), where=below > 0)


def _mean_of_defined(by_label: Values, otherwise: Values) -> Values:
    there = np.isfinite(by_label)
    mean: Values = np.divide(np.where(there, by_label, 0).sum(0), there.sum(0), out=otherwise, where=there.any(0))
    return mean
