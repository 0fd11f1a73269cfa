"""How good predictions are: `*_score` is better when higher, `*_loss` when lower.

All take `targets` (n_images,), class indices, and `probs` (n_images, n_classes), rows summing to 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

Targets = NDArray[np.int64]
Probs = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A score or loss, and which way is better."""

    function: Callable[[Targets, Probs], float]
    greater_is_better: bool

    def utility(self, targets: Targets, probs: Probs) -> float:
        """Return the score, or the loss with its sign turned: higher is always better."""
        value = self.function(targets, probs)
        return value if self.greater_is_better else -value


def accuracy_score(targets: Targets, probs: Probs) -> float:
    """Return the share of images whose likeliest class is the right one; ties go to the first class."""
    return float(metrics.accuracy_score(targets, probs.argmax(1)))


def balanced_accuracy_score(targets: Targets, probs: Probs) -> float:
    """Return the mean over the classes in `targets` of their recall."""
    return float(metrics.recall_score(targets, probs.argmax(1), labels=np.unique(targets), average="macro"))


def macro_f1_score(targets: Targets, probs: Probs) -> float:
    """Return the plain mean of F1 over the classes that occur in `targets` or are predicted."""
    return float(metrics.f1_score(targets, probs.argmax(1), average="macro", zero_division=0))


def log_loss(targets: Targets, probs: Probs) -> float:
    """Return the mean cross-entropy in nats; probabilities are renormalised in float64 and kept above 2e-16."""
    exact = probs.astype(np.float64)
    return float(metrics.log_loss(targets, exact / exact.sum(1, keepdims=True), labels=range(probs.shape[1])))


def roc_auc_score(targets: Targets, probs: Probs) -> float:
    """Return the area under the ROC curve: for two classes the usual one, else the macro mean of one against rest.

    Raises:
        ValueError: all images are of one class, so that there is no curve.
    """
    present = np.unique(targets)
    if len(present) < 2:
        raise ValueError("roc_auc needs images of two classes at least")
    areas = [metrics.roc_auc_score(targets == index, probs[:, index]) for index in present]
    return float(np.mean(areas))


SCORES = {
    "accuracy": Metric(accuracy_score, greater_is_better=True),
    "balanced_accuracy": Metric(balanced_accuracy_score, greater_is_better=True),
    "macro_f1": Metric(macro_f1_score, greater_is_better=True),
    "log_loss": Metric(log_loss, greater_is_better=False),
    "roc_auc": Metric(roc_auc_score, greater_is_better=True),
}


def accuracy_standard_error(accuracy: float, n_images: int) -> float:
    """Return the binomial standard error of an accuracy, as if images were independent."""
    return math.sqrt(accuracy * (1 - accuracy) / n_images)
