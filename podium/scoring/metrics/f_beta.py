"""F-beta (`f_beta@2`: recall counts more than precision), mean over classes; of two classes the second's."""

from functools import partial

from podium.scoring import label_scores, set_scores
from podium.scoring.metric import Metric, metric_of_sets


def at(beta: float) -> Metric:
    """Return F-beta."""
    return Metric(
        name=f"f_beta@{beta:g}",
        greater_is_better=True,
        mean_over="none",
        lowest=0,
        chosen_by="log_loss",
        thresholds="fitted",
        of_counts=partial(label_scores.f_beta, beta=beta),
    )


def sets_at(beta: float) -> Metric:
    """Return the mean over labels of F-beta of sets of labels."""
    return metric_of_sets(f"f_beta@{beta:g}", partial(set_scores.macro, beta=beta), judges_labels=True)


METRIC, SETS = at(2), sets_at(2)
