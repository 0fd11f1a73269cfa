"""Scores of predicted classes, from how often each class is true, predicted, and both; for many weightings at once.

scikit-learn's functions take one weighting a call and check their arguments each time; a bootstrap and the search of
decision multipliers need thousands. tests/test_scores.py holds every function here to scikit-learn's.

A class that no image has (as happens in a fold): `balanced_accuracy` is the mean over the classes that occur,
`macro_f1` over those that occur or are predicted, the others need no rule. Where a score would be 0 / 0 (all images
are of one class and predicted as it), kappa and MCC are 0: nothing beyond chance is shown.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

Labels = NDArray[np.int64]  # class indices
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Weighted counts; leading axes are weightings.

    Attributes:
        hits: (..., classes) images of the class predicted as it.
        true: (..., classes) images of the class.
        predicted: (..., classes) images predicted as it.
        squared: (...) sum of squared distances between the true and the predicted class's position; 0 where
            classes have no order.
    """

    hits: Values
    true: Values
    predicted: Values
    squared: Values


def count(
    targets: Labels, predicted: Labels, weights: NDArray[Any], n_classes: int, positions: Values | None = None
) -> Counts:
    """Count for every weighting.

    Args:
        targets: (images,).
        predicted: (images,).
        weights: (images, weightings), >= 0.
        n_classes: of the contest.
        positions: (classes,) of ordered classes.
    """
    steps = np.zeros(len(targets)) if positions is None else (positions[targets] - positions[predicted]) ** 2
    return Counts(
        hits=_by_class(targets, weights, n_classes, targets == predicted),
        true=_by_class(targets, weights, n_classes, np.ones(len(targets))),
        predicted=_by_class(predicted, weights, n_classes, np.ones(len(targets))),
        squared=np.asarray(steps @ weights, np.float64),
    )


def accuracy(counts: Counts) -> Values:
    """Return the share of images whose predicted class is the right one; micro-averaged F1 is the same number."""
    share: Values = counts.hits.sum(-1) / counts.true.sum(-1)
    return share


def balanced_accuracy(counts: Counts) -> Values:
    """Return the mean recall over the classes that occur."""
    return _mean(counts.hits, counts.true)


def macro_f1(counts: Counts) -> Values:
    """Return the mean F1 over the classes that occur or are predicted."""
    return _mean(2 * counts.hits, counts.true + counts.predicted)


def f_beta(counts: Counts, beta: float) -> Values:
    """Return the mean F-beta over the classes that occur or are predicted; of two classes the second's.

    0 where the second of two classes neither occurs nor is predicted.
    """
    above, below = (1 + beta**2) * counts.hits, beta**2 * counts.true + counts.predicted
    return _ratio(above[..., 1], below[..., 1]) if above.shape[-1] == 2 else _mean(above, below)


def matthews(counts: Counts) -> Values:
    """Return Matthews' correlation coefficient.

    Source: Gorodkin 2004, Computational Biology and Chemistry 28, R_K.
    """
    n = counts.true.sum(-1)
    by_chance = (counts.true * counts.predicted).sum(-1)
    spread = (n**2 - (counts.true**2).sum(-1)) * (n**2 - (counts.predicted**2).sum(-1))
    return _ratio(counts.hits.sum(-1) * n - by_chance, np.sqrt(np.maximum(spread, 0)))


def kappa(counts: Counts) -> Values:
    """Return Cohen's kappa: agreement beyond what the two margins give by chance."""
    n = counts.true.sum(-1)
    by_chance = (counts.true * counts.predicted).sum(-1) / n
    return _ratio(counts.hits.sum(-1) - by_chance, n - by_chance)


def quadratic_kappa(counts: Counts, positions: Values) -> Values:
    """Return Cohen's kappa with disagreement weighed by the squared distance of the classes' positions."""
    n = counts.true.sum(-1)
    true, predicted = counts.true / n[..., None], counts.predicted / n[..., None]
    expected = true @ positions**2 + predicted @ positions**2 - 2 * (true @ positions) * (predicted @ positions)
    return np.where(_is_zero(expected), 0.0, 1 - _ratio(counts.squared / n, expected))


def _by_class(classes: Labels, weights: NDArray[Any], n_classes: int, values: NDArray[Any]) -> Values:
    """Sum `values` times each weighting over the images of each class: (weightings, classes)."""
    data = values.astype(weights.dtype)
    table = csc_array((data, classes, np.arange(len(classes) + 1)), shape=(n_classes, len(classes)))
    return np.asarray((table @ weights).T, np.float64)


def _mean(above: Values, below: Values) -> Values:
    """Return the mean of above / below over the classes where below is not 0."""
    there = below > 0
    shares = np.divide(above, below, out=np.zeros_like(above), where=there)
    mean: Values = shares.sum(-1) / there.sum(-1)
    return mean


def _ratio(above: Values, below: Values) -> Values:
    """Return above / below, 0 where below is 0 but for rounding."""
    ratio: Values = np.divide(above, below, out=np.zeros_like(above), where=~_is_zero(below))
    return ratio


def _is_zero(value: Values) -> NDArray[np.bool_]:
    return np.abs(value) < 1e-9
