"""Linear discriminant analysis with a shared, shrunken covariance; its cost hardly grows with the number of classes.

`linear_probe` uses it where a logistic regression would take hours. The sums over images are computed once. Each
candidate is then one linear system with as many equations as features.

Source: Friedman 1989, Regularized discriminant analysis, J. Am. Stat. Assoc. 84, 165-175 (one shared covariance).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.sparse import csc_array
from scipy.special import logsumexp

Targets = NDArray[np.int64]
Values = NDArray[np.float64]

SHRINKAGES = (0.01, 0.03, 0.1, 0.3, 0.6)  # towards the mean variance, on standardised features
SCALES = (1.0, 0.5, 0.25, 0.125)  # of the logits: features are not normally distributed, so the model is overconfident
INNER_FOLDS = 3  # each is held out once to choose among the values above
CHUNK = 4096  # images at a time
SMALLEST = 1e-6  # standard deviation: a constant feature must not be scaled up
UNSEEN = 0.5  # the count of a class without images


def fit(inputs: NDArray[np.float32], targets: Targets, *, n_classes: int, seed: int) -> tuple[Values, Values, float]:
    """Fit the weights; inner folds choose the shrinkage and the scale of the logits by log loss.

    Args:
        inputs: (n_images, n_transforms, n_features); an image's transforms are held out together.
        targets: class indices (n_images,).
        n_classes: number of classes; each has an image.
        seed: of the inner folds.

    Returns:
        Weights (n_classes, n_features) and biases (n_classes,) for unstandardised features, and the shrinkage.
    """
    centre, spread = _standard(inputs)
    inner_folds = np.random.default_rng(seed).permutation(len(targets)) % INNER_FOLDS
    by_inner_fold = [_Moments.of(inputs[rows], targets[rows], n_classes, centre, spread) for rows in _rows(inner_folds)]
    losses = np.zeros((len(SHRINKAGES), len(SCALES)))
    for inner_fold, held_out in enumerate(_rows(inner_folds)):
        others = _Moments.total([moments for other, moments in enumerate(by_inner_fold) if other != inner_fold])
        features = (inputs[held_out, 0] - centre) / spread
        for row, shrinkage in enumerate(SHRINKAGES):
            losses[row] += _losses(features, targets[held_out], *others.discriminant(shrinkage))
    row, column = divmod(int(losses.argmin()), len(SCALES))
    weights, biases = _Moments.total(by_inner_fold).discriminant(SHRINKAGES[row])
    weights, biases = weights * SCALES[column] / spread, biases * SCALES[column]
    return weights, biases - weights @ centre, SHRINKAGES[row]


@dataclass(frozen=True, eq=False)
class _Moments:
    """Sums over rows: their count (classes,), their sum (classes, features), their products (features, features)."""

    counts: Values
    sums: Values
    products: Values

    @classmethod
    def of(cls, inputs: NDArray[np.float32], targets: Targets, n_classes: int, centre: Values, spread: Values) -> Self:
        n_transforms, n_features = inputs.shape[1:]
        sums, products = np.zeros((n_classes, n_features)), np.zeros((n_features, n_features))
        for start in range(0, len(inputs), CHUNK):
            rows = ((inputs[start : start + CHUNK] - centre) / spread).reshape(-1, n_features)
            classes = np.repeat(targets[start : start + CHUNK], n_transforms)
            table = csc_array((np.ones(len(classes)), classes, np.arange(len(classes) + 1)), (n_classes, len(classes)))
            sums += table @ rows
            products += rows.T @ rows
        return cls(np.bincount(targets, minlength=n_classes) * np.float64(n_transforms), sums, products)

    @classmethod
    def total(cls, moments: "list[_Moments]") -> Self:
        return cls(
            np.sum([one.counts for one in moments], axis=0),
            np.sum([one.sums for one in moments], axis=0),
            np.sum([one.products for one in moments], axis=0),
        )

    def discriminant(self, shrinkage: float) -> tuple[Values, Values]:
        """Return weights (classes, features) and biases (classes,) for standardised features."""
        means = self.sums / np.maximum(self.counts, 1)[:, None]
        within = (self.products - means.T @ self.sums) / self.counts.sum()
        level = np.trace(within) / len(within)
        within *= 1 - shrinkage
        within[np.diag_indices_from(within)] += shrinkage * level + SMALLEST
        weights = linalg.solve(within, means.T, assume_a="pos", overwrite_a=True, check_finite=False).T
        return weights, np.log(np.maximum(self.counts, UNSEEN)) - (weights * means).sum(axis=1) / 2


def _rows(inner_folds: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each inner fold."""
    return (np.flatnonzero(inner_folds == inner_fold) for inner_fold in range(INNER_FOLDS))


def _standard(inputs: NDArray[np.float32]) -> tuple[Values, Values]:
    """Return each feature's mean and standard deviation over images and transforms."""
    centre = inputs.mean(axis=(0, 1), dtype=np.float64)
    squares = np.zeros_like(centre)
    for start in range(0, len(inputs), CHUNK):
        squares += ((inputs[start : start + CHUNK] - centre) ** 2).sum(axis=(0, 1))
    return centre, np.maximum(np.sqrt(squares / (inputs.shape[0] * inputs.shape[1])), SMALLEST)


def _losses(features: Values, targets: Targets, weights: Values, biases: Values) -> Values:
    """Return the summed log loss of images (images, features) at each of SCALES."""
    losses = np.zeros(len(SCALES))
    for start in range(0, len(features), CHUNK):
        logits = features[start : start + CHUNK] @ weights.T + biases
        own = logits[np.arange(len(logits)), targets[start : start + CHUNK]]
        losses += [(logsumexp(logits * scale, axis=1) - own * scale).sum() for scale in SCALES]
    return losses
