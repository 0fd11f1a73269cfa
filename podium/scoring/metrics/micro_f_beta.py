"""Micro-averaged F-beta (`micro_f_beta@2`: recall counts more). With one class an image it is the accuracy."""

from dataclasses import replace
from functools import partial

from podium.scoring import set_scores
from podium.scoring.metric import Metric, metric_of_sets
from podium.scoring.metrics import accuracy


def at(beta: float) -> Metric:
    """Return micro-averaged F-beta."""
    return replace(accuracy.METRIC, name=f"micro_f_beta@{beta:g}")


def sets_at(beta: float) -> Metric:
    """Return micro-averaged F-beta of sets of labels."""
    return metric_of_sets(f"micro_f_beta@{beta:g}", partial(set_scores.micro, beta=beta), judges_labels=True)


METRIC, SETS = at(2), sets_at(2)
