"""Micro-averaged F1. With one label an image it is the same number as the accuracy."""

from podium.scoring import label_scores, set_scores
from podium.scoring.metric import Metric, metric_of_sets

METRIC = Metric(
    name="micro_f1",
    greater_is_better=True,
    mean_over="images",
    lowest=0,
    chosen_by="log_loss",
    thresholds="likeliest",
    of_counts=label_scores.accuracy,
)
SETS = metric_of_sets("micro_f1", set_scores.micro, judges_labels=True)
