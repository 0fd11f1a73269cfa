"""Which class to predict so that a metric of labels comes out best.

For most metrics each class gets one multiplier of its probability. The likeliest class is best for accuracy alone.
Balanced accuracy and macro F1 want rare classes named more often, and kappas something between. One number is fitted:
for two classes the threshold, for more the power of the prior that is divided out (1 makes all classes equally
frequent, which is what balanced accuracy wants of calibrated probabilities). A multiplier of its own for every class,
fitted class by class, was tried and dropped: on simulated contests of 200 to 2,000 images it lost to the one number for
every metric but with two classes (docs/log.md).

For quadratic kappa, which needs ordered classes, the image's expected position decides, cut into classes.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from podium.scoring.scores import Metric, Targets

Values = NDArray[np.float64]

POWERS = np.arange(11) / 8  # of the prior, the mildest first
THRESHOLDS = np.log(2) / 4 * np.arange(17)  # log ratios between two classes, either way, the mildest first
LEAD = 1.001  # of the predicted class's probability over the next one, where another class is the likeliest
LEAST_STRETCH = 1e-6  # images of one class have no spread
TOLERANCE = 0.5  # standard errors of a share that a milder choice may lose


class Decision(Protocol):
    """Which class to predict."""

    def apply(self, probs: NDArray[Any]) -> NDArray[np.float32]:
        """Return probabilities (images, classes) whose likeliest class is the one to predict; rows sum to 1."""


@dataclass(frozen=True, eq=False)
class Multipliers:
    """The class whose probability times its multiplier is largest.

    Attributes:
        values: (classes,) with a geometric mean of 1.
    """

    values: Values

    def apply(self, probs: NDArray[Any]) -> NDArray[np.float32]:
        """See Decision."""
        return _normalised(probs * self.values)


@dataclass(frozen=True, eq=False)
class ExpectedPosition:
    """The class whose part of the scale holds the image's expected position.

    Attributes:
        positions: (classes,) 0, 1, ... in the classes' order.
        cuts: (classes - 1,) rising; where k of them are below the expected position, the class at position k is
            predicted.
    """

    positions: Values
    cuts: Values

    def apply(self, probs: NDArray[Any]) -> NDArray[np.float32]:
        """See Decision: the predicted class gets the largest probability; the others keep their ratios."""
        order = np.argsort(self.positions)
        predicted = order[np.searchsorted(self.cuts, probs @ self.positions)]
        moved = np.flatnonzero(predicted != probs.argmax(axis=1))
        raised = probs.astype(np.float64)
        raised[moved, predicted[moved]] = LEAD * raised[moved].max(axis=1)
        return _normalised(raised)


def fit(targets: Targets, probs: NDArray[Any], metric: Metric) -> Decision:
    """Choose a decision for these images.

    Args:
        targets: (images,) class indices.
        probs: (images, classes), rows summing to 1.
        metric: of labels.

    Raises:
        ValueError: the metric judges probabilities, which a decision would only spoil.
    """
    if not metric.judges_labels:
        raise ValueError(f"{metric.name} judges probabilities: there is no decision to fit")
    if metric.positions is not None:
        return expected_position(targets, probs, metric.positions)
    return multipliers(targets, probs, metric)


def expected_position(targets: Targets, probs: NDArray[Any], positions: Values) -> ExpectedPosition:
    """Stretch expected positions to the spread of the true ones, and round them.

    Squared distances alone are smallest where the expected position is rounded. Quadratic kappa divides them by those
    of chance, which grow with the spread of the predictions. For calibrated probabilities it is highest where
    predictions have the true mean and the true variance (both from these images): nothing is searched.

    Args:
        targets: (images,) class indices.
        probs: (images, classes), rows summing to 1.
        positions: (classes,) 0, 1, ... in the classes' order.
    """
    expected, true = probs @ positions, positions[targets]
    spread = float(expected.std())
    stretch = float(true.std()) / spread if spread > 0 else 1.0
    halves = np.arange(len(positions) - 1) + 0.5
    return ExpectedPosition(positions, expected.mean() + (halves - true.mean()) / max(stretch, LEAST_STRETCH))


def multipliers(targets: Targets, probs: NDArray[Any], metric: Metric) -> Multipliers:
    """Choose multipliers for these images.

    Balanced accuracy of calibrated probabilities is highest where they are divided by the class frequencies: nothing is
    searched. For other metrics the mildest multipliers are taken that lose little against the best ones.
    """
    if metric.thresholds == "prior":
        rarity = _rarity(targets, probs.shape[1])
        return Multipliers(np.exp(rarity - rarity.mean()))
    tried = _candidates(targets, probs.shape[1])
    utilities = np.array([metric.function(targets, probs * values) for values in tried])
    best = utilities.max()
    lost = TOLERANCE * np.sqrt(max(best * (1 - best), 0.0) / len(targets))
    return Multipliers(tried[int(np.flatnonzero(utilities >= best - lost)[0])])


def _normalised(weighted: NDArray[Any]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = (weighted / weighted.sum(1, keepdims=True)).astype(np.float32)
    return scaled


def _candidates(targets: Targets, n_classes: int) -> list[Values]:
    """List multipliers from 1 for all to the strongest; a class without an image counts as having one."""
    if n_classes == 2:
        logs = [np.array([-x, x]) / 2 for size in THRESHOLDS for x in (size, -size)]
    else:
        rarity = _rarity(targets, n_classes)
        logs = [power * (rarity - rarity.mean()) for power in POWERS]
    return [np.exp(log) for log in logs]


def _rarity(targets: Targets, n_classes: int) -> NDArray[np.float64]:
    """Return minus the log count of each class (classes,); a class without an image counts as having one."""
    return np.asarray(-np.log(np.maximum(np.bincount(targets, minlength=n_classes), 1)), np.float64)
