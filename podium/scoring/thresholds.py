"""Which class to predict so that a metric of labels comes out best: one multiplier of its probability per class.

The likeliest class is best for accuracy alone. Balanced accuracy and macro F1 want rare classes named more often,
and kappas something between. One number is fitted: for two classes the threshold, for more the power of the
prior that is divided out (1 makes all classes equally frequent, which is what balanced accuracy wants of calibrated
probabilities). A multiplier of its own for every class, fitted class by class, was tried and dropped: on simulated
contests of 200 to 2,000 images it lost to the one number for every metric but with two classes (docs/log.md).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.scoring.scores import Metric, Targets

Multipliers = NDArray[np.float64]

POWERS = np.arange(11) / 8  # of the prior, the mildest first
THRESHOLDS = np.log(2) / 4 * np.arange(17)  # log ratios between two classes, either way, the mildest first
TOLERANCE = 0.5  # standard errors of a share that a milder choice may lose


def fit(targets: Targets, probs: NDArray[Any], metric: Metric) -> Multipliers:
    """Choose multipliers (classes,) for these images.

    Balanced accuracy of calibrated probabilities is highest where they are divided by the class frequencies: nothing is
    searched. For other metrics the mildest multipliers are taken that lose little against the best ones.

    Args:
        targets: (images,) class indices.
        probs: (images, classes), rows summing to 1.
        metric: of labels.

    Returns:
        multipliers with a geometric mean of 1.

    Raises:
        ValueError: the metric judges probabilities, which multipliers would only spoil.
    """
    if metric.thresholds == "prior":
        rarity = _rarity(targets, probs.shape[1])
        return np.asarray(np.exp(rarity - rarity.mean()), np.float64)
    if not metric.judges_labels:
        raise ValueError(f"{metric.name} judges probabilities: there is no decision to fit")
    tried = _candidates(targets, probs.shape[1])
    utilities = np.array([metric.function(targets, probs * multipliers) for multipliers in tried])
    best = utilities.max()
    lost = TOLERANCE * np.sqrt(max(best * (1 - best), 0.0) / len(targets))
    return tried[int(np.flatnonzero(utilities >= best - lost)[0])]


def apply(probs: NDArray[Any], multipliers: Multipliers) -> NDArray[np.float32]:
    """Return probabilities (images, classes) whose likeliest class is the one to predict; rows sum to 1."""
    weighted = probs * multipliers
    scaled: NDArray[np.float32] = (weighted / weighted.sum(1, keepdims=True)).astype(np.float32)
    return scaled


def _candidates(targets: Targets, n_classes: int) -> list[Multipliers]:
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
