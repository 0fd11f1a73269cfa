"""The mean F1 over the classes that occur or are predicted."""

from podium.scoring import label_scores, set_scores
from podium.scoring.metric import Metric, metric_of_sets

METRIC = Metric(
    name="macro_f1",
    greater_is_better=True,
    mean_over="none",
    lowest=0,
    chosen_by="balanced_log_loss",
    thresholds="fitted",
    of_counts=label_scores.macro_f1,
)
SETS = metric_of_sets("macro_f1", set_scores.macro, judges_labels=True)
