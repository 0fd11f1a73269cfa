"""The ablation study: what each step of the recipe gained, each step compared with the one before it.

All predictions are calibrated on images of other outer folds. The comparison is podium.scoring.comparison's, in the
contest's metric and in log loss, with intervals that hold together over all steps of the table.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from podium.contracts import COMPARISON
from podium.core import scratch
from podium.core.errors import some
from podium.core.tables import Contract
from podium.core.wording import counted
from podium.predictions import calibration
from podium.predictions.calibration import Probs
from podium.scoring import comparison, scores
from podium.scoring.comparison import BETTER, MIXED, WORSE
from podium.scoring.evaluation_set import EvaluationSet

ABLATION = Contract(
    {
        "member": "text",  # "blend" for the last steps
        "step": "text",
        "what": "text",  # what was done, in words
        "score": "float",  # in the contest's metric, out of fold
        "log_loss": "float",
        **COMPARISON,  # over the step before; verdict "" at the first step of a member
    },
    key=("member", "step"),
)
NAMED = (BETTER, WORSE, MIXED)  # verdicts whose steps a summary names


@dataclass(frozen=True)
class Step:
    """One step's out-of-fold predictions.

    Attributes:
        member: whose.
        name: of the step.
        what: what was done, in words.
        probs: (images, classes), calibrated on images of other outer folds; large ones lie on the disk (scratch).
    """

    member: str
    name: str
    what: str
    probs: Probs


def calibrated(probs: Probs, images: EvaluationSet, shifts: Probs | None = None) -> Probs:
    """Calibrate each outer fold's predictions (images, classes) as the other outer folds say.

    Not for predictions that were chosen by nested cross-validation: those of outer fold 2 were chosen with outer fold
    1, so a temperature for outer fold 1 that is fitted on them would know its labels.

    Args:
        probs: (images, classes).
        images: the evaluation set.
        shifts: log class prior (images, classes); None where no training corrected for the classes' counts.
    """
    logs, found = calibration.log_probs(probs), {}
    for fold in images.all_outer_folds:
        others, here = images.rows(images.remaining({fold})), images.rows({fold})
        known, own = (None if shifts is None else shifts[rows] for rows in (others, here))
        found[fold] = calibration.fit(logs[others], images.targets[others], known).apply(logs[here], own)
    return images.gathered(found)


def table(series: Sequence[Sequence[Step]], images: EvaluationSet) -> pd.DataFrame:
    """Compare every step with the one before it.

    Args:
        series: steps in their order; the first of each series is compared with nothing.
        images: the evaluation set.

    Returns:
        ABLATION, in order.
    """
    n_comparisons = sum(len(steps) - 1 for steps in series)
    rows = []
    for steps in series:
        rows.append({**_standing(steps[0], images), **comparison.cells(None)})
        for before, step in itertools.pairwise(steps):
            compared = _compared(before, step, images, n_comparisons)
            rows.append({**_standing(step, images), **comparison.cells(compared)})
    return pd.DataFrame(rows, columns=list(ABLATION.columns))


def summary(found: pd.DataFrame, metric: str) -> str:
    """Say how many steps of ABLATION are better than the step before, and which."""
    compared = found[found["verdict"] != ""]
    counts = []
    for verdict, rows in compared.groupby("verdict"):
        names = [f"{member}: {step}" for member, step in zip(rows["member"], rows["step"], strict=True)]
        counts.append(f"{len(rows)} {verdict}" + (f" ({some(names)})" if verdict in NAMED else ""))
    by = "log loss" if metric == "log_loss" else f"{metric} and log loss"
    steps = counted(len(compared), "step")
    return f"{steps}, each compared with the one before in {by}: {', '.join(counts)}"


def is_better(candidate: Step, base: Step, images: EvaluationSet) -> bool:
    """Say whether one step is clearly better than another one."""
    return _compared(base, candidate, images, 1).verdict == BETTER


def _compared(base: Step, candidate: Step, images: EvaluationSet, n_comparisons: int) -> comparison.Comparison:
    found = comparison.compare(
        images.metric,
        images.targets,
        base=base.probs,
        candidate=candidate.probs,
        groups=images.groups,
        n_comparisons=n_comparisons,
    )
    for step in (base, candidate):
        scratch.release(step.probs)
    return found


def _standing(step: Step, images: EvaluationSet) -> dict[str, object]:
    found = {
        "member": step.member,
        "step": step.name,
        "what": step.what,
        "score": round(images.metric.function(images.targets, step.probs), 6),
        "log_loss": round(scores.log_loss(images.targets, step.probs), 6),
    }
    scratch.release(step.probs)
    return found
