"""The mean recall over the classes that occur."""

from podium.scoring import label_scores
from podium.scoring.metric import Metric

METRIC = Metric(
    name="balanced_accuracy",
    greater_is_better=True,
    mean_over="classes",
    lowest=0,
    chosen_by="balanced_log_loss",
    thresholds="prior",
    of_counts=label_scores.balanced_accuracy,
)
