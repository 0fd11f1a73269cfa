"""Micro-averaged F1. With one label an image it is the same number as the accuracy."""

from podium.scoring import label_scores
from podium.scoring.metric import Metric

METRIC = Metric(
    name="micro_f1",
    greater_is_better=True,
    mean_over="images",
    lowest=0,
    chosen_by="log_loss",
    thresholds="likeliest",
    of_counts=label_scores.accuracy,
)
