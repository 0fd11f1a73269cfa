"""How well a probe predicts the images that it did not learn from, in words: accuracy and log loss, not calibrated.

They are the same whatever the contest's metric is, so a change of the metric runs no probe again.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from podium.core import targets as label_targets

LEAST = 1e-7  # probability that enters a log loss, of float32


@dataclass(frozen=True)
class HeldOutScore:
    """Scores of out-of-fold predictions, with the mean over TTA transforms.

    Attributes:
        n_images: that have a known label.
        accuracy: the share of images whose most probable class is right; of sets of labels the share of labels.
        log_loss: in nats; of sets of labels the mean over labels.
        of_sets: whether images have sets of labels.
    """

    n_images: int
    accuracy: float
    log_loss: float
    of_sets: bool

    @classmethod
    def of(cls, probs: NDArray[np.float32], targets: NDArray[Any]) -> Self:
        """Score probabilities (images, transforms, classes) of targets (podium.core.targets.of_labels)."""
        known = label_targets.are_known(targets)
        mean, truth = probs[known].mean(axis=1), targets[known]
        if targets.ndim > 1:
            right, of_truth = (mean > 0.5) == (truth == 1), np.where(truth == 1, mean, 1 - mean)
        else:
            right, of_truth = mean.argmax(axis=1) == truth, mean[np.arange(len(truth)), truth]
        losses = -np.log(np.maximum(of_truth, LEAST, dtype=np.float64))
        return cls(len(truth), float(right.mean()), float(losses.mean()), targets.ndim > 1)

    def __str__(self) -> str:
        what = "share of right labels" if self.of_sets else "accuracy"
        return f"{what} {self.accuracy:.4f}, log loss {self.log_loss:.4f}"
