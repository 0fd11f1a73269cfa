"""Matthews' correlation coefficient, for any number of classes."""

from podium.scoring import label_scores
from podium.scoring.metric import Metric

METRIC = Metric(
    name="mcc",
    greater_is_better=True,
    mean_over="none",
    lowest=-1,
    chosen_by="log_loss",
    thresholds="tested",
    of_counts=label_scores.matthews,
)
