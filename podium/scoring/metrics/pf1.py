"""Probabilistic F1: F1 with probabilities in place of hits, mean over classes; of two classes the second's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.scoring.metric import Metric, Probs, Targets, Values


def _pf1(targets: Targets, probs: Probs, weights: NDArray[Any]) -> Values:
    """Return 2 * sum(p of the class's images) / (sum(p of all images) + number of the class's images).

    NaN where no image of a judged class has a weight.
    Source: Yacouby & Axman 2020, Eval4NLP, 79-91.
    """
    judged = range(probs.shape[1]) if probs.shape[1] > 2 else range(1, 2)
    values = np.full((len(judged), weights.shape[1]), np.nan)
    for row, index in enumerate(judged):
        own, p = (targets == index).astype(np.float64), probs[:, index].astype(np.float64)
        true = own @ weights
        values[row] = np.divide(2 * (own * p) @ weights, p @ weights + true, out=values[row], where=true > 0)
    there = np.isfinite(values)
    total, count = np.where(there, values, 0).sum(0), there.sum(0)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0), np.float64)


METRIC = Metric(
    name="pf1",
    greater_is_better=True,
    mean_over="none",
    lowest=0,
    chosen_by="log_loss",
    thresholds="likeliest",
    of_probs=_pf1,
)
