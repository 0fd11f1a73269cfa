"""Cohen's kappa: agreement beyond chance."""

from podium.scoring import label_scores
from podium.scoring.metric import Metric

METRIC = Metric(
    name="kappa",
    greater_is_better=True,
    mean_over="none",
    lowest=-1,
    chosen_by="log_loss",
    thresholds="tested",
    of_counts=label_scores.kappa,
)
