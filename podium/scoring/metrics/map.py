"""Mean average precision at k (`map@5`) of images with one label: the mean of 1 / rank of the right class, 0 beyond k.

The rank is the class's place by falling probability; of equal probabilities the first class stands first.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.scoring import rank_scores
from podium.scoring.metric import Metric, Probs, Targets, Values


def _mean(targets: Targets, probs: Probs, weights: NDArray[Any], k: int) -> Values:
    ranks = rank_scores.class_ranks(targets, probs)
    return np.asarray(np.where(ranks <= k, 1 / ranks, 0) @ weights / weights.sum(0, dtype=np.float64), np.float64)


def at(k: float) -> Metric:
    """Return MAP@k."""
    return Metric(
        name=f"map@{k:g}",
        greater_is_better=True,
        mean_over="images",
        lowest=0,
        chosen_by="log_loss",
        thresholds="likeliest",
        of_probs=partial(_mean, k=int(k)),
        labels_read=int(k),
    )


METRIC = at(5)
