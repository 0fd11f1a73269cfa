"""Cohen's kappa weighed by the squared distance of the classes, which must be numbers."""

from podium.scoring import label_scores
from podium.scoring.metric import Metric

METRIC = Metric(
    name="quadratic_kappa",
    greater_is_better=True,
    mean_over="none",
    lowest=-1,
    chosen_by="log_loss",
    thresholds="fitted",
    of_ordered=label_scores.quadratic_kappa,
)
