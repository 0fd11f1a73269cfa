"""What a metric is: the function, and the facts that intervals, comparisons and blending need to know of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from podium.scoring import label_scores
from podium.scoring.label_scores import Counts
from podium.scoring.set_scores import LabelSets

Targets = NDArray[np.int64]
Probs = NDArray[np.float32] | NDArray[np.float64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Metric:
    """A score or a loss. A fact without a default must be given: forgetting one is an error at import.

    Attributes:
        name: as in `contest.metric`.
        greater_is_better: false for a loss.
        mean_over: "images" of a mean over images, "classes" of a mean over classes (one of which may be rare), "none".
        lowest: the lowest value: 0, or -1 of a score that may be negative. The highest must be 1, because the interval
            of a score is that of a share; except of the log loss, and of a metric whose lowest value is -inf, which may
            have any value: its interval is that of a normal variable.
        chosen_by: what decides between candidates. "log_loss", since a score of predicted classes moves by whole
            images and hides what the probabilities show; "balanced_log_loss", with every class at the same weight, for
            metrics that give all classes the same weight; or the metric "itself".
        thresholds: how the predicted class follows from the probabilities. "likeliest": it is the likeliest class;
            "prior": probabilities are divided by the class frequencies; "fitted": multipliers, or of ordered classes
            the cuts of the expected position, are fitted; "tested": they are fitted, and used where a test supports
            them.
        of_ranks: only the order of the images counts, not their probabilities.
        of_probs: (targets, probs, weights) -> (weightings,), of a metric that judges probabilities.
        of_counts: counts -> (weightings,), of a metric that judges the predicted class.
        of_ordered: (counts, positions of the classes) -> (weightings,), of a metric that needs an order of the classes.
        of_errors: (errors, weights) -> (weightings,), of a metric of numbers: errors are the expected value less the
            class's number.
        of_sets: (sets, weights) -> (weightings,), of a metric of sets of labels.
        images_of_area: (area, positives, negatives) -> how many images' share would be as sure as the area under a
            curve of so many groups; of a mean of curves.
        positions: (classes,) of ordered classes, where the metric needs them.
        numbers: (classes,) that the classes are, of a metric of numbers.
        labels_read: how many labels of an image a metric of ranked labels reads; 0 for other metrics.
        is_log_loss: it is the log loss, perhaps by another name: its interval is that of a mean of losses.
        n_labels: rows of an image: of sets of labels one a label (podium.core.targets.as_rows), else 1.
        fewest_labels: that an image of a contest of sets has at least.
    """

    name: str
    greater_is_better: bool
    mean_over: Literal["images", "classes", "none"]
    lowest: float
    chosen_by: Literal["log_loss", "balanced_log_loss", "itself"]
    thresholds: Literal["likeliest", "prior", "fitted", "tested"]
    of_ranks: bool = False
    of_probs: Callable[[Targets, Probs, NDArray[Any]], Values] | None = None
    of_counts: Callable[[Counts], Values] | None = None
    of_ordered: Callable[[Counts, Values], Values] | None = None
    of_errors: Callable[[Values, NDArray[Any]], Values] | None = None
    of_sets: Callable[[LabelSets, NDArray[Any]], Values] | None = None
    images_of_area: Callable[[float, int, int], float] | None = None
    positions: Values | None = None
    numbers: Values | None = None
    labels_read: int = 0
    is_log_loss: bool = False
    n_labels: int = 1
    fewest_labels: int = 0

    def __post_init__(self) -> None:
        """Refuse a metric whose facts contradict each other."""
        if (self.of_probs, self.of_counts, self.of_ordered, self.of_errors, self.of_sets).count(None) != 4:
            raise TypeError(f"metric {self.name}: give one of of_probs, of_counts, of_ordered, of_errors and of_sets")
        if self.of_ranks and (self.of_probs is None or self.images_of_area is None):
            raise TypeError(f"metric {self.name}: a metric of ranks needs of_probs and images_of_area")

    @property
    def judges_labels(self) -> bool:
        """Say whether only the predicted class counts, not its probability."""
        if self.of_sets is not None:
            return self.thresholds != "likeliest"
        return self.of_probs is None and self.of_errors is None

    @property
    def is_share_of_images(self) -> bool:
        """Say whether it is the share of images whose predicted class is right."""
        return self.judges_labels and self.mean_over == "images"

    def weighted(self, targets: Targets, probs: Probs, weights: NDArray[Any]) -> Values:
        """Return the value for every column of `weights` (images, weightings); NaN where it is not defined.

        The predicted class is the likeliest; ties go to the first. Of sets of labels, targets and probs have n_labels
        rows for each image.
        """
        if self.of_sets is not None:
            truth, found = targets.reshape(-1, self.n_labels) == 1, probs[:, 1] / probs.sum(1)
            return self.of_sets(LabelSets(truth, found.reshape(-1, self.n_labels), self.fewest_labels), weights)
        if self.of_probs is not None:
            return self.of_probs(targets, probs, weights)
        if self.of_errors is not None:
            if self.numbers is None:
                raise ValueError(f"{self.name} needs classes that are numbers: take it from scores.named")
            expected = probs.astype(np.float64) @ self.numbers / probs.sum(1, dtype=np.float64)
            return self.of_errors(expected - self.numbers[targets], weights)
        counts = label_scores.count(targets, probs.argmax(1), weights, probs.shape[1], self.positions)
        if self.of_counts is not None:
            return self.of_counts(counts)
        if self.of_ordered is None or self.positions is None:
            raise ValueError(f"{self.name} needs an order of the classes: take it from scores.named")
        return self.of_ordered(counts, self.positions)

    def function(self, targets: Targets, probs: Probs) -> float:
        """Return the value on the images.

        Raises:
            ValueError: it is not defined: a curve needs images of two classes.
        """
        value = float(self.weighted(targets, probs, np.ones((len(targets) // self.n_labels, 1)))[0])
        if math.isnan(value):
            raise ValueError(f"{self.name} needs images of two classes at least")
        return value

    def utility(self, targets: Targets, probs: Probs) -> float:
        """Return the score, or the loss with its sign turned: higher is always better."""
        value = self.function(targets, probs)
        return value if self.greater_is_better else -value


def metric_of_sets(name: str, function: Callable[[LabelSets, NDArray[Any]], Values], *, judges_labels: bool) -> Metric:
    """Return a score of sets of labels. Log loss chooses between candidates; one threshold is fitted for all labels.

    Args:
        name: as in `contest.metric`.
        function: (sets, weights) -> (weightings,).
        judges_labels: whether only the predicted labels count, not their probabilities.
    """
    return Metric(
        name=name,
        greater_is_better=True,
        mean_over="none",
        lowest=0,
        chosen_by="log_loss",
        thresholds="fitted" if judges_labels else "likeliest",
        of_sets=function,
    )
