"""Matthews' correlation coefficient, for any number of classes."""

from podium.scoring import label_scores
from podium.scoring.metric import Metric

METRIC = Metric(
    name="mcc",
    greater_is_better=True,
    mean_over="none",
    lowest=-1,
    by_log_loss=False,
    of_counts=label_scores.matthews,
)
