"""What each step of the recipe bought: rungs of predictions, each held against the one below it.

A step is judged where a look of a member is (stages.lib.resolution): by log loss at each rung's own temperature, fitted
on the other parts, or by the metric itself where log loss does not stand for it; Holm over all steps. A step that the
test supports while the metric falls, or the other way round, is not supported.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.lib import bootstrap, calibration, intervals, tables
from stages.lib.calibration import Probs
from stages.lib.nesting import gathered
from stages.lib.scored import Scored

LADDER = tables.Contract(
    {
        "member": "text",  # "blend" for the last step
        "step": "text",
        "what": "text",  # what was done, in words
        "score": "float",  # in the contest's metric, out of fold
        "difference": "float",  # to the rung below, in the metric
        "low": "float",  # its 95% interval, by group
        "high": "float",
        "log_loss": "float",  # at the temperature that the other parts fit
        "log_loss_gain": "float",  # over the rung below; higher is better
        "p_better": "float",  # one-sided, adjusted for the number of steps (Holm)
        "p_worse": "float",
        "verdict": "text",  # "" on a lowest rung; supported, not supported, harmful
    },
    key=("member", "step"),
)
SUPPORTED, OPEN, HARMFUL = "supported", "not supported", "harmful"


@dataclass(frozen=True)
class Rung:
    """One step's out-of-fold predictions.

    Attributes:
        member: whose.
        step: its name.
        what: what was done, in words.
        probs: (images, classes).
    """

    member: str
    step: str
    what: str
    probs: Probs


@dataclass(frozen=True)
class _Step:
    below: Rung
    rung: Rung
    evidence: intervals.Evidence  # that decides
    in_metric: intervals.Evidence


def tempered(probs: Probs, scored: Scored) -> Probs:
    """Scale each part's predictions (images, classes) by the temperature that the other parts fit."""
    logs, found = calibration.log_probs(probs), {}
    for part in scored.all_parts:
        others, here = scored.rows(scored.left({part})), scored.rows({part})
        found[part] = calibration.scaled(logs[here], calibration.temperature(logs[others], scored.targets[others]))
    return gathered(scored, found)


def judge(ladders: Sequence[Sequence[Rung]], scored: Scored) -> pd.DataFrame:
    """Hold every rung against the one below it.

    Args:
        ladders: rungs from the lowest up; the first of each has nothing below it.
        scored: the images.

    Returns:
        tables.LADDER, in order.
    """
    ladders = [
        [Rung(rung.member, rung.step, rung.what, tempered(rung.probs, scored)) for rung in rungs] for rungs in ladders
    ]
    steps = [_step(below, rung, scored) for rungs in ladders for below, rung in itertools.pairwise(rungs)]
    better = iter(bootstrap.holm([step.evidence.p_better for step in steps]))
    worse = iter(bootstrap.holm([step.evidence.p_worse for step in steps]))
    rising = iter(steps)
    rows = []
    for rungs in ladders:
        for position, rung in enumerate(rungs):
            row = _standing(rung, scored)
            if position:
                row |= _climb(next(rising), next(better), next(worse), scored)
            rows.append(row)
    return pd.DataFrame(rows, columns=list(LADDER.columns))


def beats(candidate: Probs, base: Probs, scored: Scored) -> bool:
    """Say whether a candidate's predictions are surely better than the base's, by the test of one step."""
    step = _step(Rung("", "", "", tempered(base, scored)), Rung("", "", "", tempered(candidate, scored)), scored)
    return _verdict(step, step.evidence.p_better, step.evidence.p_worse) == SUPPORTED


def _step(below: Rung, rung: Rung, scored: Scored) -> _Step:
    in_metric = intervals.score_evidence(
        scored.metric, scored.targets, base=below.probs, candidate=rung.probs, groups=scored.groups
    )
    decides = in_metric
    if scored.by_log_loss:
        decides = intervals.compare(
            scored.metric, scored.targets, base=below.probs, candidate=rung.probs, groups=scored.groups
        )
    return _Step(below, rung, decides, in_metric)


def _standing(rung: Rung, scored: Scored) -> dict[str, object]:
    nothing = dict.fromkeys(("difference", "low", "high", "log_loss_gain", "p_better", "p_worse"), float("nan"))
    return {
        "member": rung.member,
        "step": rung.step,
        "what": rung.what,
        "score": round(scored.metric.function(scored.targets, rung.probs), 6),
        "log_loss": round(_log_loss(rung.probs, scored), 6),
        **nothing,
        "verdict": "",
    }


def _climb(step: _Step, p_better: float, p_worse: float, scored: Scored) -> dict[str, object]:
    sign = 1 if scored.metric.greater_is_better else -1  # evidence is higher where better
    ends = sorted((sign * step.in_metric.low, sign * step.in_metric.high))
    gain = _log_loss(step.below.probs, scored) - _log_loss(step.rung.probs, scored)
    numbers = {
        "difference": sign * step.in_metric.difference,
        "low": ends[0],
        "high": ends[1],
        "log_loss_gain": gain,
        "p_better": p_better,
        "p_worse": p_worse,
    }
    verdict = _verdict(step, p_better, p_worse)
    return {**{key: round(value, 6) for key, value in numbers.items()}, "verdict": verdict}


def _verdict(step: _Step, p_better: float, p_worse: float) -> str:
    rise = step.in_metric.difference
    if p_better < intervals.ALPHA and rise >= 0:
        return SUPPORTED
    return HARMFUL if p_worse < intervals.ALPHA and rise <= 0 else OPEN


def _log_loss(probs: Probs, scored: Scored) -> float:
    return float(-np.log(np.maximum(probs[np.arange(len(probs)), scored.targets], 1e-15)).mean())
