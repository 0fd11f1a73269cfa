"""What each step of the recipe bought: rungs of predictions, each held against the one below it.

A step is judged as a TTA of a member is (`tta_selection`): by log loss, or by the metric where log loss does not stand
for it. The test is one-sided at 5%, with Holm's correction over all steps. All predictions are calibrated on images of
other outer folds. A step that the test supports while the metric falls, or the other way round, is not supported.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from podium.core import tables
from podium.predictions import calibration
from podium.predictions.calibration import Probs
from podium.scoring import bootstrap, intervals, scores
from podium.scoring.evaluation_set import EvaluationSet

LADDER = tables.Contract(
    {
        "member": "text",  # "blend" for the last step
        "step": "text",
        "what": "text",  # what was done, in words
        "score": "float",  # in the contest's metric, out of fold
        "gain": "float",  # over the rung below in the metric, above 0 is better for losses too
        "low": "float",  # its 95% interval, by group
        "high": "float",
        "log_loss": "float",
        "log_loss_gain": "float",  # over the rung below, above 0 is better
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
        probs: (images, classes), calibrated on other outer_folds' images.
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


def tempered(probs: Probs, scored: EvaluationSet) -> Probs:
    """Scale each outer_fold's predictions (images, classes) by the temperature that the other outer_folds fit.

    Not for predictions about which something was chosen on the other outer_folds already: those of outer_fold 2 were chosen with
    outer_fold 1, and a temperature for outer_fold 1 fitted on them would know its labels.
    """
    logs, found = calibration.log_probs(probs), {}
    for outer_fold in scored.all_outer_folds:
        others, here = scored.rows(scored.left({outer_fold})), scored.rows({outer_fold})
        found[outer_fold] = calibration.scaled(
            logs[here], calibration.temperature(logs[others], scored.targets[others])
        )
    return scored.gathered(found)


def judge(ladders: Sequence[Sequence[Rung]], scored: EvaluationSet) -> pd.DataFrame:
    """Hold every rung against the one below it.

    Args:
        ladders: rungs from the lowest up; the first of each has nothing below it.
        scored: the images.

    Returns:
        tables.LADDER, in order.
    """
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


def beats(candidate: Rung, base: Rung, scored: EvaluationSet) -> bool:
    """Say whether a rung is surely better than another one, at 5%: by what judges a step, or by its hits.

    Hits count where they are the metric: one image that the lower rung was very sure and wrong about would hide any
    gain in log loss. Each of two tests has half of the 5%.
    """
    step = _step(base, candidate, scored)
    tests = [step.evidence]
    if scored.metric.judges_labels and scored.metric.mean_over == "images":
        hits = [(rung.probs.argmax(axis=1) == scored.targets).astype(float) for rung in (candidate, base)]
        tests.append(intervals.mean_evidence(hits[0] - hits[1], scored.groups))
    surely = any(len(tests) * test.p_better < intervals.ALPHA for test in tests)
    return surely and step.in_metric.difference >= 0


def _step(below: Rung, rung: Rung, scored: EvaluationSet) -> _Step:
    probs = {"base": below.probs, "candidate": rung.probs}
    in_metric = intervals.score_evidence(scored.metric, scored.targets, groups=scored.groups, **probs)
    decides = in_metric
    if scored.by_log_loss:
        decides = intervals.compare(scored.metric, scored.targets, groups=scored.groups, **probs)
    return _Step(below, rung, decides, in_metric)


def _standing(rung: Rung, scored: EvaluationSet) -> dict[str, object]:
    nothing = dict.fromkeys(("gain", "low", "high", "log_loss_gain", "p_better", "p_worse"), float("nan"))
    return {
        "member": rung.member,
        "step": rung.step,
        "what": rung.what,
        "score": round(scored.metric.function(scored.targets, rung.probs), 6),
        "log_loss": round(scores.log_loss(scored.targets, rung.probs), 6),
        **nothing,
        "verdict": "",
    }


def _climb(step: _Step, p_better: float, p_worse: float, scored: EvaluationSet) -> dict[str, object]:
    below, here = (scores.log_loss(scored.targets, rung.probs) for rung in (step.below, step.rung))
    numbers = {
        "gain": step.in_metric.difference,
        "low": step.in_metric.low,
        "high": step.in_metric.high,
        "log_loss_gain": below - here,
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
