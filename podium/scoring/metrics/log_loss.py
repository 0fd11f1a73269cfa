"""The mean cross-entropy in nats."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.scoring import set_scores
from podium.scoring.log_losses import log_losses
from podium.scoring.metric import Metric, Probs, Targets, Values


def _mean(targets: Targets, probs: Probs, weights: NDArray[Any]) -> Values:
    return np.asarray(log_losses(targets, probs) @ weights / weights.sum(0, dtype=np.float64), np.float64)


METRIC = Metric(
    name="log_loss",
    greater_is_better=False,
    mean_over="images",
    lowest=0,
    chosen_by="log_loss",
    thresholds="likeliest",
    of_probs=_mean,
    is_log_loss=True,
)
SETS = replace(METRIC, of_probs=None, of_sets=set_scores.log_loss)
