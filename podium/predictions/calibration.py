"""Making probabilities comparable before they are averaged: class priors put back, confidence scaled by a temperature.

A temperature T divides log probabilities and renormalises (Guo et al. 2017, arXiv 1706.04599); above 1 it makes a
model less sure. It is fitted on predictions of single fold models and applied to predictions of single fold models,
before folds, sizes of other members or members are averaged: a mean of probabilities is less sure than what it
averages, so that a temperature fitted before and applied after it, or the other way round, would be wrong. A member's
fold models share one temperature: a fold that is scored can say nothing about its own model's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from podium.core import row_blocks

Probs = NDArray[np.float32]
Targets = NDArray[np.int64]
Values = NDArray[np.float64]

FLOOR = 1e-15  # of a probability: a log of it is 34.5 nats
PRIOR_SD = 0.5  # of log T around 0: 200 faultless images must not make T vanish
_NODES = np.linspace(-np.log(8), np.log(8), 17)  # of log T
_PRIOR = np.stack([_NODES**2 / (2 * PRIOR_SD**2), _NODES / PRIOR_SD**2])  # nats at the nodes, and their slope
_STEPS = np.linspace(0, 1, 129)[:, None]  # between two nodes
_HERMITE = np.hstack(  # what values and slopes at two nodes give between them
    [
        (1 + 2 * _STEPS) * (1 - _STEPS) ** 2,
        _STEPS * (1 - _STEPS) ** 2,
        _STEPS**2 * (3 - 2 * _STEPS),
        _STEPS**2 * (_STEPS - 1),
    ]
)
PRIOR_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the class prior that a training with class weights may have lost
FEW_CLASSES = 30
_BLOCK = 2**18  # cells, 1 MB: larger arrays are worked through in blocks of rows, which stay in the processor's cache


@dataclass(frozen=True)
class FittedCalibration:
    """How log probabilities become probabilities.

    Attributes:
        temperature: what they are divided by.
        prior_strength: share of the log class prior that is added first: 0 where no phase weighed classes.
    """

    temperature: float
    prior_strength: float = 0.0

    def apply(self, logs: Probs, shifts: Probs | None) -> Probs:
        """Return probabilities (images, classes).

        Args:
            logs: (images, classes) log probabilities.
            shifts: log class prior, broadcast to (images, classes); None where no phase weighed classes.
        """
        return scaled(with_prior(logs, shifts, self.prior_strength), self.temperature)


def log_probs(probs: Probs) -> Probs:
    """Return log probabilities (..., classes), none below log FLOOR."""
    return cast(Probs, np.log(np.maximum(probs, np.float32(FLOOR))))


def scaled(logs: Probs, temperature: float) -> Probs:
    """Turn log probabilities (images, classes) into probabilities at a temperature."""
    exps = logs * np.float32(1 / temperature)
    exps -= _over_classes(np.maximum, exps)[:, None]
    np.exp(exps, out=exps)
    exps /= _over_classes(np.add, exps)[:, None]
    return exps


def scaled_by_label(logs: Probs, temperatures: Sequence[float]) -> Probs:
    """Turn log probabilities (images x labels, 2) into probabilities, each label at its own temperature."""
    own = np.tile(np.asarray(temperatures, np.float32), len(logs) // len(temperatures))
    return scaled(logs / own[:, None], 1.0)


def losses(logs: Probs, targets: Targets, temperature: float) -> Values:
    """Return each image's cross-entropy in nats (images,) at a temperature."""
    found = np.empty(len(logs))
    for rows in row_blocks.of(logs.shape, _BLOCK):
        scores = logs[rows] * np.float32(1 / temperature)
        scores -= _over_classes(np.maximum, scores)[:, None]
        own = scores[np.arange(len(scores)), targets[rows]].astype(np.float64)
        np.exp(scores, out=scores)
        found[rows] = np.log(_over_classes(np.add, scores).astype(np.float64)) - own
    return found


def _over_classes(ufunc: np.ufunc, values: Probs) -> Probs:
    """Reduce (images, classes) over classes; class by class where they are few, which numpy does ten times faster."""
    if values.shape[1] > FEW_CLASSES:
        return cast(Probs, ufunc.reduce(values, axis=1))
    total = values[:, 0].copy()
    for index in range(1, values.shape[1]):
        ufunc(total, values[:, index], out=total)
    return total


@dataclass(frozen=True)
class LossCurve:
    """Summed losses of each outer fold of the images, and their slopes, at fixed temperatures; sums over folds add up.

    Attributes:
        values: (outer_folds, nodes) nats, at log T of each node.
        slopes: (outer_folds, nodes) of `values` by log T.
    """

    values: Values
    slopes: Values

    def lowest(self, outer_folds: NDArray[np.int64]) -> tuple[float, float]:
        """Return the smallest loss on the images of `outer_folds` and its temperature; log T ~ N(0, PRIOR_SD^2)."""
        values = self.values[outer_folds].sum(axis=0) + _PRIOR[0]
        slopes = self.slopes[outer_folds].sum(axis=0) + _PRIOR[1]
        lowest = int(np.argmin(values))
        found = [_lowest_between(values, slopes, left) for left in (max(lowest - 1, 0), min(lowest, len(_NODES) - 2))]
        loss, log_temperature = min(found)
        return loss, float(np.exp(log_temperature))

    def temperature(self, outer_folds: NDArray[np.int64]) -> float:
        """Return the temperature of the smallest loss on the images of `outer_folds`."""
        return self.lowest(outer_folds)[1]


def _lowest_between(values: Values, slopes: Values, left: int) -> tuple[float, float]:
    """Return the smallest loss between two nodes, by a cubic through values and slopes, and where it is."""
    width = _NODES[1] - _NODES[0]
    ends = [values[left], width * slopes[left], values[left + 1], width * slopes[left + 1]]
    between = _HERMITE @ np.array(ends)
    step = int(np.argmin(between))
    return float(between[step]), float(_NODES[left] + width * _STEPS[step, 0])


def curve(logs: Probs, targets: Targets, outer_folds: NDArray[np.int64], n_outer_folds: int) -> LossCurve:
    """Measure the loss at temperatures from 1/8 to 8.

    Args:
        logs: (images, classes) log probabilities of single fold models.
        targets: (images,) class indices.
        outer_folds: (images,) each image's outer_fold, 0 to n_outer_folds - 1.
    """
    values, slopes = np.empty((2, n_outer_folds, len(_NODES)))
    tempered = _TemperedLosses.of(logs, targets)
    for node in range(len(_NODES)):
        for table, of_images in zip((values, slopes), tempered.at(node), strict=True):
            table[:, node] = np.bincount(outer_folds, of_images, n_outer_folds)
    return LossCurve(values, slopes)


def fit(logs: Probs, targets: Targets, shifts: Probs | None = None) -> FittedCalibration:
    """Fit the temperature and, of models that corrected for the classes' counts, the share of the prior they lost.

    Source: bias-corrected temperature scaling, Alexandari et al. 2020, arXiv 1901.06852; here the bias is the log
    class prior times one fitted number, so that few images cannot bend it.

    Args:
        logs: (images, classes) log probabilities.
        targets: (images,) class indices.
        shifts: log class prior, broadcast to (images, classes); None where no training corrected for the counts.
    """
    strengths = (0.0,) if shifts is None else PRIOR_STRENGTHS
    fitted = [(*_lowest(with_prior(logs, shifts, strength), targets), strength) for strength in strengths]
    _, temperature, strength = min(fitted)
    return FittedCalibration(temperature, strength)


def fit_temperature(logs: Probs, targets: Targets) -> float:
    """Fit one temperature to log probabilities (images, classes): as a curve's, without measuring all of the curve."""
    return _lowest(logs, targets)[1]


def _lowest(logs: Probs, targets: Targets) -> tuple[float, float]:
    """Return the smallest loss over temperatures, with the temperature's prior, and its temperature.

    The loss falls to its lowest point and rises behind it, so that halving finds the two nodes that it lies between.
    """
    tempered = _TemperedLosses.of(logs, targets)
    values, slopes = _PRIOR.copy()

    def measure(node: int) -> None:
        for table, of_images in zip((values, slopes), tempered.at(node), strict=True):
            table[node] += of_images.sum()

    low, high = ends = 0, len(_NODES) - 1
    while high - low > 1:
        node = (low + high) // 2
        measure(node)
        low, high = (node, high) if slopes[node] < 0 else (low, node)
    for node in {low, high}.intersection(ends):
        measure(node)
    loss, log_temperature = _lowest_between(values, slopes, low)
    return loss, float(np.exp(log_temperature))


def fit_label_temperatures(logs: Probs, targets: Targets, n_labels: int) -> tuple[float, ...]:
    """Fit each label's temperature to log probabilities (images x labels, 2) that have one for all labels.

    The prior holds a label with few images at the temperature of all (docs.measure.simulate_labels: "around").
    """
    places = [slice(label, None, n_labels) for label in range(n_labels)]
    return tuple(fit_temperature(np.ascontiguousarray(logs[rows]), targets[rows]) for rows in places)


@dataclass(frozen=True, eq=False)
class _TemperedLosses:
    """Images whose losses are asked for at many temperatures.

    Attributes:
        below: (images, classes) log probabilities less the image's largest.
        own: (images,) the right class's.
    """

    below: Probs
    own: Values

    @classmethod
    def of(cls, logs: Probs, targets: Targets) -> Self:
        top = _over_classes(np.maximum, logs)
        return cls(logs - top[:, None], logs[np.arange(len(targets)), targets].astype(np.float64) - top)

    def at(self, node: int) -> tuple[Values, Values]:
        """Return each image's loss at a node's temperature, and its slope by log T."""
        beta = np.exp(-_NODES[node])
        total, mean = np.empty((2, len(self.below)))
        for rows in row_blocks.of(self.below.shape, _BLOCK):
            exps = np.exp(self.below[rows] * np.float32(beta))
            total[rows] = _over_classes(np.add, exps)
            mean[rows] = np.einsum("ij,ij->i", exps, self.below[rows])
        return np.log(total) - beta * self.own, beta * (self.own - mean / total)


def prior_shifts(targets: Targets, folds: NDArray[np.int64], n_classes: int) -> Probs:
    """Return what to add to log probabilities of models that were trained with balanced class weights.

    Weights in proportion to 1 / n_c make a model answer as if all classes were as frequent; multiplying its
    probabilities by n_c, the counts it was trained on, answers for classes as frequent as they are (Saerens et al.
    2002, Neural Computation 14). What a metric gains from other decisions is decided after the blend.

    Args:
        targets: (images,) class indices.
        folds: (images,) 0, 1, ...; a fold's model was trained on the other folds.

    Returns:
        (folds, classes), log n_c; a class without images there counts as one image.
    """
    counts = np.zeros((folds.max() + 1, n_classes))
    np.add.at(counts, (folds, targets), 1)
    return cast(Probs, np.log(np.maximum(counts.sum(axis=0) - counts, 1)).astype(np.float32))


def with_prior(logs: Probs, shifts: Probs | None, strength: float) -> Probs:
    """Add a share of the log class prior to log probabilities (images, classes) and renormalise."""
    return logs if shifts is None or strength == 0 else shifted(logs, np.float32(strength) * shifts)


def shifted(logs: Probs, shifts: Probs) -> Probs:
    """Add shifts (broadcast to (images, classes)) to log probabilities and renormalise."""
    return log_probs(scaled(logs + shifts, 1.0))
