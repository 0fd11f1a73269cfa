"""The gate between blending methods: a fancier one than the equal mean must show on left-out images that it wins."""

from collections.abc import Mapping
from dataclasses import dataclass

from podium.ensembling.method_registry import BASELINE
from podium.ensembling.tta_selection import CHOSEN, DEFAULT, OPEN, SUPPORTED, WORSE
from podium.predictions.calibration import Probs, Targets
from podium.scoring import bootstrap, intervals, scores

DECIDED = "decision"  # the chosen method with another rule than the likeliest class


@dataclass(frozen=True)
class Candidate:
    """A method against the equal mean, or a decision rule against the likeliest class, on images left out of its fit.

    Attributes:
        p: that it is no better, adjusted for the number of methods.
        verdict: as of a TTA: usual, taken, supported, not supported, worse.
    """

    method: str
    score: float
    evidence: intervals.Evidence
    p: float
    verdict: str


@dataclass(frozen=True)
class Selection:
    """The method that is used, whether with fitted decisions, and what was held against each other."""

    method: str
    decided: bool = False
    contenders: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class SelectionImages:
    """The images on which methods are held against each other, (images,) each, and the contest's metric."""

    metric: scores.Metric
    targets: Targets
    groups: intervals.Groups


def choose_method(judged: SelectionImages, probs: Mapping[str, Probs]) -> Selection:
    """Choose the method with the largest supported gain over the equal mean, else the equal mean.

    Supported: a paired one-sided test at 5%, Holm over the methods, by log loss or by a bootstrap of the metric as for
    ttas (intervals.compare), and a metric that is no lower.

    Args:
        judged: the images.
        probs: method -> (images, classes), each fitted without the images it predicts; with BASELINE.
    """
    metric, targets, groups = judged.metric, judged.targets, judged.groups
    base = probs[BASELINE]
    others = [method for method in probs if method != BASELINE]
    found = [intervals.compare(metric, targets, base=base, candidate=probs[name], groups=groups) for name in others]
    p_values = bootstrap.holm([evidence.p_better for evidence in found])
    worse = bootstrap.holm([evidence.p_worse for evidence in found])
    floor = metric.utility(targets, base)
    won = {
        name: evidence.difference
        for name, evidence, p in zip(others, found, p_values, strict=True)
        if p < intervals.ALPHA and metric.utility(targets, probs[name]) >= floor
    }
    taken = max(won, key=lambda name: won[name], default=BASELINE)
    contenders = [Candidate(BASELINE, metric.function(targets, base), intervals.NOTHING, 1.0, DEFAULT)]
    for name, evidence, p, p_worse in zip(others, found, p_values, worse, strict=True):
        verdict = (
            CHOSEN if name == taken else SUPPORTED if name in won else WORSE if p_worse < intervals.ALPHA else OPEN
        )
        contenders.append(Candidate(name, metric.function(targets, probs[name]), evidence, p, verdict))
    return Selection(taken, contenders=tuple(contenders))


def choose_thresholds(judged: SelectionImages, gated: Selection, plain: Probs, decided: Probs) -> Selection:
    """Say whether fitted decisions are used: only where the metric is better by a paired one-sided test at 5%.

    Args:
        judged: the images.
        gated: the method that was chosen.
        plain: (images, classes) of that method.
        decided: the same with decisions fitted without the images they are used on.
    """
    evidence = intervals.score_evidence(
        judged.metric, judged.targets, base=plain, candidate=decided, groups=judged.groups
    )
    won = evidence.p_better < intervals.ALPHA
    verdict = CHOSEN if won else WORSE if evidence.p_worse < intervals.ALPHA else OPEN
    score = judged.metric.function(judged.targets, decided)
    contender = Candidate(DECIDED, score, evidence, evidence.p_better, verdict)
    return Selection(gated.method, won, (*gated.contenders, contender))
