"""How good predictions are, by name: `contest.metric`.

All take `targets` (images,), class indices, and `probs` (images, classes), rows summing to 1. What happens where
a class has no image is told in label_scores.py and rank_scores.py; `log_loss` looks at each image's own class alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.core.errors import InputError, some
from podium.scoring import label_scores, rank_scores
from podium.scoring.label_scores import Counts

Targets = NDArray[np.int64]
Probs = NDArray[np.float32] | NDArray[np.float64]
Values = NDArray[np.float64]

QUADRATIC_KAPPA = "quadratic_kappa"  # the one metric that needs an order of the classes


@dataclass(frozen=True, eq=False)
class Metric:
    """A score or loss, and which way is better.

    Attributes:
        name: as in `contest.metric`.
        of_probs: (targets, probs, weights) -> (weightings,), of a metric that judges probabilities.
        of_counts: counts -> (weightings,), of a metric that judges the predicted class.
        greater_is_better: false for a loss.
        positions: (classes,) of ordered classes, where the metric needs them.
    """

    name: str
    of_probs: Callable[[Targets, Probs, NDArray[Any]], Values] | None = None
    of_counts: Callable[[Counts], Values] | None = None
    greater_is_better: bool = True
    positions: Values | None = None

    @property
    def judges_labels(self) -> bool:
        """Say whether only the predicted class counts, not its probability."""
        return self.of_counts is not None

    def weighted(self, targets: Targets, probs: Probs, weights: NDArray[Any]) -> Values:
        """Return the value for every column of `weights` (images, weightings); NaN where it is not defined.

        The predicted class is the likeliest; ties go to the first.
        """
        if self.of_counts is not None:
            return self.of_counts(label_scores.count(targets, probs.argmax(1), weights, probs.shape[1], self.positions))
        assert self.of_probs is not None
        return self.of_probs(targets, probs, weights)

    def function(self, targets: Targets, probs: Probs) -> float:
        """Return the value on the images.

        Raises:
            ValueError: it is not defined: a curve needs images of two classes.
        """
        value = float(self.weighted(targets, probs, np.ones((len(targets), 1)))[0])
        if math.isnan(value):
            raise ValueError(f"{self.name} needs images of two classes at least")
        return value

    def utility(self, targets: Targets, probs: Probs) -> float:
        """Return the score, or the loss with its sign turned: higher is always better."""
        value = self.function(targets, probs)
        return value if self.greater_is_better else -value


_TINY = float(np.finfo(np.float64).eps)
WORST_LOSS = -math.log(_TINY)  # nats that an image can cost at most, 36


ROUNDING = 1e-5  # relative, of a probability, and nats: more than sums of 32-bit floats in another order move
_BLOCK = 2**18  # cells that are compared at once


def alike(first: Probs, second: Probs) -> bool:
    """Say whether two predictions (images, classes) are the same but for rounding."""
    step = max(_BLOCK // first.shape[1], 1)
    rows = (slice(start, start + step) for start in range(0, len(first), step))
    return all(np.allclose(first[some], second[some], rtol=ROUNDING, atol=_TINY) for some in rows)


def log_losses(targets: Targets, probs: Probs) -> Values:
    """Return each image's cross-entropy in nats (images,); probabilities are renormalised and kept above 2e-16."""
    exact = probs[np.arange(len(targets)), targets].astype(np.float64) / probs.sum(1, dtype=np.float64)
    return np.asarray(-np.log(np.clip(exact, _TINY, 1 - _TINY)), np.float64)


def _log_loss(targets: Targets, probs: Probs, weights: NDArray[Any]) -> Values:
    return np.asarray(log_losses(targets, probs) @ weights / weights.sum(0, dtype=np.float64), np.float64)


_ALL = (
    Metric("accuracy", of_counts=label_scores.accuracy),
    Metric("balanced_accuracy", of_counts=label_scores.balanced_accuracy),
    Metric("macro_f1", of_counts=label_scores.macro_f1),
    Metric("micro_f1", of_counts=label_scores.accuracy),  # one label an image: the same number
    Metric("mcc", of_counts=label_scores.matthews),
    Metric("kappa", of_counts=label_scores.kappa),
    Metric("log_loss", of_probs=_log_loss, greater_is_better=False),
    Metric("roc_auc", of_probs=partial(rank_scores.one_against_rest, curve=rank_scores.ROC_AUC)),
    Metric("average_precision", of_probs=partial(rank_scores.one_against_rest, curve=rank_scores.AVERAGE_PRECISION)),
)
SCORES = {metric.name: metric for metric in _ALL}  # all that need no order of the classes
NAMES = (*SCORES, QUADRATIC_KAPPA)


def named(name: str, classes: Sequence[str]) -> Metric:
    """Return the metric of that name for these classes.

    For `quadratic_kappa` a class's position is its rank among the classes as numbers ("10" after "2"), all of the
    contest's, whether a fold has an image of them or not.

    Raises:
        InputError: it needs an order, and the classes are not numbers.
    """
    if name != QUADRATIC_KAPPA:
        return SCORES[name]
    positions = _positions(classes)
    of_counts = partial(label_scores.quadratic_kappa, positions=positions)
    return Metric(name, of_counts=of_counts, positions=positions)


def accuracy_score(targets: Targets, probs: Probs) -> float:
    """Return the share of images whose likeliest class is the right one; ties go to the first class."""
    return SCORES["accuracy"].function(targets, probs)


def log_loss(targets: Targets, probs: Probs) -> float:
    """Return the mean cross-entropy in nats."""
    return SCORES["log_loss"].function(targets, probs)


def accuracy_standard_error(accuracy: float, n_images: int) -> float:
    """Return the binomial standard error of an accuracy, as if images were independent."""
    return math.sqrt(accuracy * (1 - accuracy) / n_images)


def _positions(classes: Sequence[str]) -> Values:
    values = [_number(name) for name in classes]
    unordered = [name for name, value in zip(classes, values, strict=True) if not math.isfinite(value)]
    if unordered or len(set(values)) < len(values):
        raise InputError(
            f"params.yaml: contest.metric: {QUADRATIC_KAPPA} needs classes in an order, and takes that of numbers;"
            f" these are not distinct numbers: {some(unordered or list(classes))}; number the classes, or choose kappa"
        )
    return np.argsort(np.argsort(values)).astype(np.float64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
