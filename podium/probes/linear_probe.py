"""Linear probe: a logistic regression on a frozen backbone's features, a baseline and a classifier's first weights.

Of sets of labels it is a regression for each label (label_probe.py), and sigmoids in place of the softmax.

Source: Kumar et al. 2022, arXiv 2202.10054: linear probing before fine-tuning distorts the features less.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from podium.core import scratch
from podium.core import targets as label_targets
from podium.core.errors import InputError
from podium.probes import discriminant, label_probe
from podium.probes.feature_space import STRENGTHS, TOO_LARGE, FeatureSpace

# rows x features x classes. Above it, five folds' regressions and the choice of their strengths take at least ten
# minutes on one core, so a linear discriminant is fitted instead (docs/honest_scores.md, Speed)
MAX_WORK = 500_000_000
_BLOCK = 2**23  # values of float64 that are predicted with, or predicted, at once: 64 MB
Fitted = tuple[NDArray[np.float64], NDArray[np.float64], float]  # what `fit` returns


def fit(
    inputs: NDArray[np.float32],
    targets: NDArray[np.int64],
    *,
    n_classes: int,
    seed: int,
    strength: float | None = None,
) -> Fitted:
    """Fit a multinomial logistic regression; inner folds choose its regularisation by log loss.

    Above MAX_WORK, fit a linear discriminant instead, its shrinkage chosen likewise: a regression would take hours.

    Args:
        inputs: (n_images, n_transforms, n_features); an image's transforms stay on one side of every inner split.
        targets: class indices (n_images,).
        n_classes: of the contest; a class without an image gets zero weights and a bias below all others.
        seed: of the inner folds.
        strength: a regression's C, if it is known already.

    Returns:
        Weights (n_classes, n_features) and biases (n_classes,) for unstandardised features, and the chosen C or
        shrinkage.

    Raises:
        InputError: all images are of one class.
    """
    present = np.unique(targets)
    if len(present) < 2:
        raise InputError(
            "a linear classifier on frozen features (`probe`) needs training images of two classes outside every fold:"
            " add images, or change the folds"
        )
    _require_finite(inputs)
    if is_large(len(targets) * inputs.shape[1], inputs.shape[2], len(present)):
        dense = np.searchsorted(present, targets)
        with threadpool_limits(1, "blas"):
            weights, biases, chosen = discriminant.fit(inputs, dense, n_classes=len(present), seed=seed)
    else:
        weights, biases, chosen = _by_regression(inputs, targets, seed, strength)
    all_weights = np.zeros((n_classes, weights.shape[1]))
    all_biases = np.full(n_classes, biases.min() - np.log(len(targets)))
    all_weights[present], all_biases[present] = weights, biases
    return all_weights, all_biases, chosen


def is_large(n_rows: int, n_features: int, n_classes: int) -> bool:
    """Return whether `fit` uses a linear discriminant instead of a regression.

    Args:
        n_rows: images x transforms.
        n_features: of a row.
        n_classes: that have an image.
    """
    return n_rows * n_features * n_classes > MAX_WORK


@dataclass(frozen=True)
class ProbePredictions:
    """What the folds' linear classifiers predict.

    Attributes:
        train: (n_images, n_transforms, n_classes), each image by the classifier fitted on the other folds' images.
        test: fold -> (n_test_images, n_transforms, n_classes), by the classifier fitted on the other folds' images.
        fitted: fold -> that classifier; none where the other folds have one class only.
    """

    train: NDArray[np.float32]
    test: dict[str, NDArray[np.float32]]
    fitted: dict[str, Fitted]

    @property
    def strengths(self) -> dict[str, float | None]:
        """Return each fold's chosen C (shrinkage in a large contest); None where the other folds have one class."""
        return {fold: self.fitted[fold][2] if fold in self.fitted else None for fold in self.test}


def predict_folds(
    inputs: NDArray[np.float32],
    targets: NDArray[Any],
    folds: NDArray[np.str_],
    test: NDArray[np.float32],
    *,
    n_classes: int,
    seeds: Mapping[str, int],
    strengths: Mapping[str, float | None] | None = None,
) -> ProbePredictions:
    """Fit a linear classifier for each fold, on the images of the other folds.

    If all images of the other folds are of one class, that class is predicted with probability 1.

    Args:
        inputs: features (n_images, n_transforms, n_features).
        targets: class indices (n_images,); -1 for an image that is predicted but never trained on. Of sets of labels
            (n_images, n_classes) of podium.core.targets.
        folds: (n_images,) each image's fold.
        test: features of the test images (n_test_images, n_transforms, n_features).
        n_classes: of the contest.
        seeds: of the inner folds, by fold.
        strengths: the regressions' C by fold, if they are known already.

    Raises:
        InputError: a feature is not finite, of an image that is only predicted too.
    """
    _require_finite(inputs)
    _require_finite(test)
    fitted = fit_folds(inputs, targets, folds, n_classes=n_classes, seeds=seeds, strengths=strengths)
    found = ProbePredictions(np.zeros((*inputs.shape[:2], n_classes), np.float32), {}, fitted)
    for fold in seeds:
        held_out = folds == fold
        if fold not in fitted:
            only = np.eye(n_classes, dtype=np.float32)[single_class(targets, folds, fold)]
            found.train[held_out] = only
            found.test[fold] = np.broadcast_to(only, (*test.shape[:2], n_classes))
            continue
        weights, biases, _ = fitted[fold]
        found.train[held_out] = probabilities(inputs[held_out], weights, biases, sets=targets.ndim > 1)
        found.test[fold] = scratch.on_disk(probabilities(test, weights, biases, sets=targets.ndim > 1))
    return found


def single_class(targets: NDArray[np.int64], folds: NDArray[np.str_], fold: str) -> int:
    """Return the index of the first class outside a fold: the only one, where the fold has no classifier."""
    return int(targets[(folds != fold) & (targets >= 0)][0])


def fit_folds(
    inputs: NDArray[np.float32],
    targets: NDArray[Any],
    folds: NDArray[np.str_],
    *,
    n_classes: int,
    seeds: Mapping[str, int],
    strengths: Mapping[str, float | None] | None = None,
) -> dict[str, Fitted]:
    """Fit a linear classifier for each fold, on the images of the other folds, as `predict_folds` does.

    A fold has none if all images of the other folds are of one class.
    """
    fitted = {}
    for fold, seed in seeds.items():
        train = (folds != fold) & label_targets.are_known(targets)
        known = None if strengths is None else strengths[fold]
        if targets.ndim > 1:
            large = is_large(int(train.sum()) * inputs.shape[1], inputs.shape[2], n_classes)
            fitted[fold] = label_probe.fit(inputs[train], targets[train], seed=seed, strength=known, is_large=large)
        elif len(np.unique(targets[train])) != 1:
            fitted[fold] = fit(inputs[train], targets[train], n_classes=n_classes, seed=seed, strength=known)
    return fitted


def _require_finite(inputs: NDArray[np.float32]) -> None:
    if not np.isfinite(inputs).all():
        raise InputError("the backbone's features are not finite: set precision: fp32, or use other weights")


def probabilities(
    inputs: NDArray[np.float32], weights: NDArray[np.float64], biases: NDArray[np.float64], *, sets: bool = False
) -> NDArray[np.float32]:
    """Predict features (n_images, n_transforms, n_features), of which there may be none; `sets` takes sigmoids."""
    if not len(inputs):
        return np.zeros((0, inputs.shape[1], len(biases)), np.float32)
    found = np.empty((*inputs.shape[:2], len(biases)), np.float32)
    step = max(_BLOCK // max(inputs.shape[1] * max(weights.shape), 1), 1)
    for start in range(0, len(inputs), step):
        logits = inputs[start : start + step] @ weights.T + biases
        found[start : start + step] = expit(logits) if sets else softmax(logits, axis=-1)
    return found


def _by_regression(
    inputs: NDArray[np.float32], targets: NDArray[np.int64], seed: int, strength: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return weights and biases of the classes that have an image, for unstandardised features, and the chosen C."""
    # one thread: BLAS threads wait actively, and beside other work two of them were thirty times slower
    with threadpool_limits(1, "blas"):
        if strength is None:
            strength = _strength(inputs, targets, seed)
        space = FeatureSpace.of(inputs)
        model = space.regression(np.repeat(targets, inputs.shape[1]), strength)
    weights, biases = space.unstandardised(model.coef_), model.intercept_
    if len(weights) == 1:  # two classes: scikit-learn stores one row, for the second class
        weights, biases = np.concatenate([-weights / 2, weights / 2]), np.concatenate([-biases / 2, biases / 2])
    return weights, biases - weights @ space.scaler.mean_, strength


def _strength(inputs: NDArray[np.float32], targets: NDArray[np.int64], seed: int) -> float:
    """Choose C on the classes with at least two images: a single image cannot be on both sides of a split."""
    counts = np.bincount(targets)
    if (counts > 1).sum() < 2:
        return STRENGTHS[0]
    chosen_by = counts[targets] > 1
    inputs, targets = inputs[chosen_by], targets[chosen_by]
    n_splits = min(3, int(counts[counts > 1].min()))
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=seed % 2**31)
    losses = np.zeros(len(STRENGTHS))
    for train, held_out in folds.split(targets, targets):
        losses += _path(inputs, targets, train, held_out)
    return STRENGTHS[int(losses.argmin())]


def _path(
    inputs: NDArray[np.float32], targets: NDArray[np.int64], train: NDArray[np.int64], held_out: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the log loss of the held-out images for each of STRENGTHS; infinite for those that are not tried."""
    space = FeatureSpace.of(inputs[train])
    others, labels = space.rows_of(inputs[held_out, 0]), np.repeat(targets[train], inputs.shape[1])
    losses = np.full(len(STRENGTHS), np.inf)
    model = None
    for i, strength in enumerate(STRENGTHS):
        model = space.regression(labels, strength, model)
        losses[i] = log_loss(targets[held_out], model.predict_proba(others), labels=model.classes_)
        if losses[i] > TOO_LARGE * losses.min():
            break
    return losses
