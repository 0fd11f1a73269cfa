"""Model selection for the blend: the blending method with the smallest left-out cost, and the decision thresholds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from podium.core import scratch
from podium.ensembling.method_registry import METHODS
from podium.predictions.calibration import Probs
from podium.scoring import comparison, intervals, scores
from podium.scoring.comparison import Comparison
from podium.scoring.evaluation_set import EvaluationSet, Indices


@dataclass(frozen=True)
class Selection:
    """What was selected.

    Attributes:
        method: name of the blending method.
        uses_thresholds: whether a fitted decision (podium.scoring.thresholds) predicts the class.
    """

    method: str
    uses_thresholds: bool = False


@dataclass(frozen=True)
class MethodCandidate:
    """A blending method on images that its fit has not seen, compared with the equal mean.

    Attributes:
        score: in the contest's metric.
        cost: what the choice makes small.
        compared: None for the equal mean itself.
    """

    method: str
    score: float
    log_loss: float
    cost: float
    compared: Comparison | None


def choose_method(images: EvaluationSet, rows: Indices, probs: Iterable[tuple[str, Probs]]) -> str:
    """Choose the method with the smallest left-out cost; simpler methods win ties.

    Args:
        images: the evaluation set.
        rows: positions of the images that decide.
        probs: methods and their probabilities (rows, classes), each fitted without the images that it predicts.
    """
    costs = {name: images.cost(rows, of_method) for name, of_method in probs}
    return min((name for name in METHODS if name in costs), key=lambda name: costs[name])  # the first of several


def report(images: EvaluationSet, probs: Mapping[str, Probs], baseline: str) -> list[MethodCandidate]:
    """Compare every method with the baseline, on all images.

    Args:
        images: the evaluation set.
        probs: method -> (images, classes), each fitted without the images that it predicts.
        baseline: name of the method that the others are compared with.
    """
    rows = np.arange(len(images.targets))
    found = []
    for name in (name for name in METHODS if name in probs):
        compared = None
        if name != baseline:
            compared = comparison.compare(
                images.metric,
                images.targets,
                base=probs[baseline],
                candidate=probs[name],
                groups=images.groups,
                n_comparisons=len(probs) - 1,
            )
        score = images.metric.function(images.targets, probs[name])
        loss = scores.log_loss(images.targets, probs[name])
        found.append(MethodCandidate(name, score, loss, images.cost(rows, probs[name]), compared))
        scratch.release(probs[name])
    return found


def thresholds_help(images: EvaluationSet, rows: Indices, plain: Probs, with_thresholds: Probs) -> bool:
    """Say whether a fitted decision raises the metric in a one-sided test at 5%.

    Args:
        images: the evaluation set.
        rows: positions of the images that decide.
        plain: (rows, classes) of the chosen method.
        with_thresholds: the same with decisions that were fitted without the images they are used on.
    """
    found = intervals.score_evidence(
        images.metric, images.targets[rows], base=plain, candidate=with_thresholds, groups=images.groups[rows]
    )
    return found.p_better < intervals.ALPHA
