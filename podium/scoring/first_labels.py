"""Metrics that read the k most probable classes of an image: each is a mean over images of what the rank is worth."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.scoring import rank_scores
from podium.scoring.metric import Metric, Probs, Targets, Values

Worth = Callable[[Values], Values]  # of ranks (images,), for ranks up to k; beyond k an image is worth 0


def metric(name: str, k: float, worth: Worth) -> Metric:
    """Return the metric `name@k`."""
    return Metric(
        name=f"{name}@{k:g}",
        greater_is_better=True,
        mean_over="images",
        lowest=0,
        chosen_by="log_loss",
        thresholds="likeliest",
        of_probs=partial(_mean, k=int(k), worth=worth),
        labels_read=int(k),
    )


def _mean(targets: Targets, probs: Probs, weights: NDArray[Any], k: int, worth: Worth) -> Values:
    ranks = rank_scores.class_ranks(targets, probs)
    return np.asarray(np.where(ranks <= k, worth(ranks), 0) @ weights / weights.sum(0, dtype=np.float64), np.float64)
