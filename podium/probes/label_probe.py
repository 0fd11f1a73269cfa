"""The linear probe of sets of labels: a logistic regression for each label, all with one regularisation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from podium.probes import discriminant
from podium.probes.feature_space import STRENGTHS, TOO_LARGE, FeatureSpace

Values = NDArray[np.float64]
Fitted = tuple[Values, Values, float]  # what `fit` returns

INNER_FOLDS = 3  # each is held out once to choose the regularisation
_TINY = float(np.finfo(np.float64).eps)


def fit(
    inputs: NDArray[np.float32], targets: NDArray[Any], *, seed: int, strength: float | None, is_large: bool
) -> Fitted:
    """Fit a regression for each label; inner folds choose C, the same for all labels, by the mean log loss.

    Args:
        inputs: (n_images, n_transforms, n_features).
        targets: (n_images, n_labels) of 0 and 1; a label that all images have, or none, gets zero weights.
        seed: of the inner folds.
        strength: C, if it is known already.
        is_large: whether linear discriminants are fitted instead, because regressions would take hours.

    Returns:
        Weights (n_labels, n_features) and biases (n_labels,) of the sigmoids' logits, and the chosen C or the mean
        shrinkage.
    """
    with threadpool_limits(1, "blas"):
        if is_large:
            return _discriminants(inputs, targets, seed)
        chosen = _strength(inputs, targets, seed) if strength is None else strength
        space = FeatureSpace.of(inputs)
        models = _Regressions(space, targets, inputs.shape[1])
        models.fit(chosen)
        weights = space.unstandardised(models.weights)
        return weights, models.biases - weights @ space.scaler.mean_, chosen


class _Regressions:
    """Regressions of labels on the rows of a space.

    Attributes:
        weights: (n_labels, dimensions); zero for a constant label.
        biases: (n_labels,); of a constant label those of `_start`.
    """

    def __init__(self, space: FeatureSpace, targets: NDArray[Any], n_transforms: int) -> None:
        self.space = space
        self.weights, self.biases, varying = _start(targets, space.rows.shape[1])
        self._labels = np.repeat(targets, n_transforms, axis=0).astype(np.int64)
        self._models: dict[int, LogisticRegression | None] = dict.fromkeys(varying)

    def fit(self, strength: float) -> None:
        """Fit them, from the coefficients of the last fit."""
        for label, start in self._models.items():
            model = self.space.regression(self._labels[:, label], strength, start)
            self._models[label], self.weights[label], self.biases[label] = model, model.coef_[0], model.intercept_[0]


def _start(targets: NDArray[Any], n_features: int) -> tuple[Values, Values, list[int]]:
    """Return the weights and biases of constant labels, and the labels that are none, which have yet to be fitted.

    The weights (n_labels, n_features) are zero. The biases (n_labels,) are the log odds of each label's share, as if
    half an image more had it and half an image more lacked it.
    """
    counts = targets.sum(0, dtype=np.float64)
    varying = np.flatnonzero((counts > 0) & (counts < len(targets)))
    biases = np.log(counts + 0.5) - np.log(len(targets) - counts + 0.5)
    return np.zeros((targets.shape[1], n_features)), biases, varying.tolist()


def _strength(inputs: NDArray[np.float32], targets: NDArray[Any], seed: int) -> float:
    inner = np.random.default_rng(seed).permutation(len(targets)) % INNER_FOLDS
    losses = np.zeros(len(STRENGTHS))
    for fold in range(INNER_FOLDS):
        train, held_out = inner != fold, inner == fold
        if not (train.any() and held_out.any()):
            continue
        space = FeatureSpace.of(inputs[train])
        models, others = _Regressions(space, targets[train], inputs.shape[1]), space.rows_of(inputs[held_out, 0])
        of_fold = np.full(len(STRENGTHS), np.inf)
        for index, strength in enumerate(STRENGTHS):
            models.fit(strength)
            of_fold[index] = _log_loss(targets[held_out], expit(others @ models.weights.T + models.biases))
            if of_fold[index] > TOO_LARGE * of_fold.min():
                break
        losses += of_fold
    return STRENGTHS[int(losses.argmin())]


def _log_loss(targets: NDArray[Any], probs: Values) -> float:
    own = np.where(targets == 1, probs, 1 - probs)
    return float(-np.log(np.clip(own, _TINY, 1)).mean())


def _discriminants(inputs: NDArray[np.float32], targets: NDArray[Any], seed: int) -> Fitted:
    weights, biases, varying = _start(targets, inputs.shape[2])
    shrinkages = []
    for label in varying:
        own = targets[:, label].astype(np.int64)
        both, offsets, shrinkage = discriminant.fit(inputs, own, n_classes=2, seed=seed)
        weights[label], biases[label] = both[1] - both[0], offsets[1] - offsets[0]
        shrinkages.append(shrinkage)
    return weights, biases, float(np.mean(shrinkages)) if shrinkages else discriminant.SHRINKAGES[0]
