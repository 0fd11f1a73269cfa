"""F-beta of each image's set of labels, mean over images (`samples_f_beta@2`). With one class it is the accuracy."""

from dataclasses import replace
from functools import partial

from podium.scoring import set_scores
from podium.scoring.metric import Metric, metric_of_sets
from podium.scoring.metrics import accuracy


def at(beta: float) -> Metric:
    """Return the mean over images of F-beta."""
    return replace(accuracy.METRIC, name=f"samples_f_beta@{beta:g}")


def sets_at(beta: float) -> Metric:
    """Return the mean over images of F-beta of sets of labels."""
    return metric_of_sets(f"samples_f_beta@{beta:g}", partial(set_scores.samples, beta=beta), judges_labels=True)


METRIC, SETS = at(2), sets_at(2)
