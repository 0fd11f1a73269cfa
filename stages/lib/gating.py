"""The gate between blending methods: a fancier one than the equal mean must show on left-out images that it wins."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stages.lib import intervals, scores
from stages.lib.calibration import Probs, Targets
from stages.lib.resolution import OPEN, SUPPORTED, TAKEN, USUAL, WORSE

BASELINE = "equal"


@dataclass(frozen=True)
class Contender:
    """A method against the equal mean, on images left out of its fitting.

    Attributes:
        p: that it is no better, adjusted for the number of methods.
        verdict: as of a look: usual, taken, supported, not supported, worse.
    """

    method: str
    score: float
    evidence: intervals.Evidence
    p: float
    verdict: str


@dataclass(frozen=True)
class Gated:
    """The method that is used, and what was held against each other (nothing where one was asked for)."""

    method: str
    contenders: tuple[Contender, ...]


def choose(
    name: str, metric: scores.Metric, targets: Targets, groups: intervals.Groups, probs: Mapping[str, Probs]
) -> Gated:
    """Choose the method with the largest supported gain over the equal mean, else the equal mean.

    Supported: a paired one-sided test at 5%, Holm over the methods, by log loss or by a bootstrap of the metric as for
    looks (intervals.compare), and a metric that is no lower.

    Args:
        name, metric: the contest's.
        probs: method -> (images, classes), each fitted without the images it predicts; with BASELINE.
    """
    base = probs[BASELINE]
    others = [method for method in probs if method != BASELINE]
    found = {
        method: intervals.compare(name, metric, targets, base=base, candidate=probs[method], groups=groups)
        for method in others
    }
    better_p = intervals.holm(np.array([found[method].p_better for method in others]))
    worse_p = intervals.holm(np.array([found[method].p_worse for method in others]))
    floor = metric.utility(targets, base)
    won = [
        method
        for method, p in zip(others, better_p, strict=True)
        if p < intervals.ALPHA and metric.utility(targets, probs[method]) >= floor
    ]
    taken = max(won, key=lambda method: found[method].difference, default=BASELINE)
    contenders = [Contender(BASELINE, metric.function(targets, base), intervals.NOTHING, 1.0, USUAL)]
    for method, p, worse in zip(others, better_p, worse_p, strict=True):
        verdict = TAKEN if method == taken else SUPPORTED if method in won else OPEN
        verdict = WORSE if worse < intervals.ALPHA else verdict
        score = metric.function(targets, probs[method])
        contenders.append(Contender(method, score, found[method], float(p), verdict))
    return Gated(taken, tuple(contenders))
