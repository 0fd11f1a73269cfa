"""The share of images whose predicted class is right."""

from podium.scoring import label_scores
from podium.scoring.metric import Metric

METRIC = Metric(
    name="accuracy",
    greater_is_better=True,
    mean_over="images",
    lowest=0,
    chosen_by="log_loss",
    thresholds="likeliest",
    of_counts=label_scores.accuracy,
)
