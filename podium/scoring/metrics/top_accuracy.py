"""Top-k accuracy (`top_accuracy@5`): the share of images whose right class is among the k likeliest."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.scoring import rank_scores
from podium.scoring.metric import Metric, Probs, Targets, Values


def _share(targets: Targets, probs: Probs, weights: NDArray[Any], k: int) -> Values:
    hits = rank_scores.class_ranks(targets, probs) <= k
    return np.asarray(hits.astype(np.float64) @ weights / weights.sum(0, dtype=np.float64), np.float64)


def at(k: float) -> Metric:
    """Return the top-k accuracy."""
    return Metric(
        name=f"top_accuracy@{k:g}",
        greater_is_better=True,
        mean_over="images",
        lowest=0,
        chosen_by="log_loss",
        thresholds="likeliest",
        of_probs=partial(_share, k=int(k)),
        labels_read=int(k),
    )


METRIC = at(1)
