"""How members differ, and what each adds to the blend.

Measured on out-of-fold predictions. The blend here is the equal mean of all members' probabilities, whatever the
submission's weights are: equal weights were chosen on no image, so a member's value is not flattered by them. Like the
submission's it has a temperature, since a mean is less sure than its parts: the one that fits it best, with the member
and without it, so that the little that flatters is on both sides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.contracts import COMPARISON
from podium.core import row_blocks, scratch, tables
from podium.predictions import calibration
from podium.scoring import comparison, intervals
from podium.scoring.comparison import Comparison
from podium.scoring.intervals import Groups
from podium.scoring.scores import Metric, Targets, alike

Probs = NDArray[np.float32]
Right = NDArray[np.bool_]  # (members, images)
Read = Callable[[str], Probs]  # member -> (images, classes)

DIFFERENCES = tables.Contract(  # both orders of a pair, and each member with itself
    {
        "member": "text",
        "other": "text",
        "measure": "text",  # of MEASURES
        "value": "float",  # missing where it is not defined
    },
    key=("member", "other", "measure"),
)
MEMBER_VALUE = tables.Contract(
    {
        "member": "text",
        "score": "float",  # alone, in the contest's metric, its TTA chosen on other images
        **COMPARISON,  # of the equal blend with it, over the equal blend without it
        "most_alike": "text",  # the member whose errors correlate most with its own; "" for an only member
        "effect": "text",  # helps, harms, redundant, unclear, only member
        "sentence": "text",
    },
    key=("member",),
)
MEASURES = ("error correlation", "disagreement", "double fault", "Q statistic")
EFFECTS = {comparison.BETTER: "helps", comparison.WORSE: "harms"}
SENTENCES = {"helps": "helps", "harms": "harms", "redundant": "is redundant", "unclear": "has no clear effect"}
_BLOCK = 2**20  # cells that are blended at once
EQUIVALENT = 0.005  # of a score, or nats: a difference within this does not matter


@dataclass(frozen=True)
class MemberScores:
    """What one pass over the members finds.

    Attributes:
        total: (images, classes) sum of their probabilities.
        right: (members, images).
        scores: (members,) each alone, in the contest's metric.
    """

    total: NDArray[np.float64]
    right: Right
    scores: list[float]


def gather(read: Read, names: Sequence[str], targets: Targets, metric: Metric) -> MemberScores:
    """Read every member once, holding one at a time."""
    total, right, alone = None, [], []
    for name in names:
        probs = read(name)
        if total is None:
            total = probs.astype(np.float64)
        else:
            total += probs
        right.append(probs.argmax(1) == targets)
        alone.append(metric.function(targets, probs))
    assert total is not None, "an ensemble has a member"
    return MemberScores(scratch.on_disk(total), np.stack(right), alone)


def pairs(right: Right) -> dict[str, NDArray[np.float64]]:
    """Return each of MEASURES for every pair of members (members, members).

    Error correlation is of being right (phi), disagreement the share of images on which one alone is right, double
    fault the share on which both are wrong; Q is (ad - bc) / (ad + bc) of the two-by-two table. Correlation and Q are
    NaN where they are 0 / 0, as for a member that is always right.

    Args:
        right: which images each member has right.

    Source: Kuncheva & Whitaker 2003, Machine Learning 51, Measures of diversity in classifier ensembles.
    """
    hit = right.astype(np.float64)
    miss = 1 - hit
    n = right.shape[1]
    both, neither, only_first, only_second = hit @ hit.T, miss @ miss.T, hit @ miss.T, miss @ hit.T
    agree, differ = both * neither, only_first * only_second
    spread = np.outer(hit.sum(1) * miss.sum(1), hit.sum(1) * miss.sum(1))
    values = (
        _ratio(agree - differ, np.sqrt(spread)),
        (only_first + only_second) / n,
        neither / n,
        _ratio(agree - differ, agree + differ),
    )
    return dict(zip(MEASURES, values, strict=True))


def pairs_table(names: Sequence[str], measured: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    """Return DIFFERENCES."""
    rows = [
        (name, other, measure, values[i, k])
        for measure, values in measured.items()
        for i, name in enumerate(names)
        for k, other in enumerate(names)
    ]
    return pd.DataFrame(rows, columns=list(DIFFERENCES.columns)).round({"value": 6})


def member_value(
    probs: Probs, total: NDArray[np.float64], n_members: int, *, metric: Metric, targets: Targets, groups: Groups
) -> Comparison:
    """Compare the equal blend with a member with the equal blend without it.

    Args:
        probs: (images, classes) of the member.
        total: (images, classes) sum over all members.
        n_members: 2 at least.
        metric: what they are compared in, beside log loss.
        targets: (images,) class indices.
        groups: (images,) what is independent of each other.
    """
    blends = np.empty((2, *total.shape), np.float32)
    same = True
    for rows in row_blocks.of(total.shape, _BLOCK):
        exact = np.maximum(total[rows] - probs[rows], 0) / (n_members - 1), total[rows] / n_members
        blends[:, rows] = exact
        same = same and alike(*exact)  # before their temperatures, which are found in steps
    scratch.release(total)
    if same:
        return Comparison(intervals.NOTHING, intervals.NOTHING, 1.0)
    base, candidate = (scratch.on_disk(_calibrated(blend, targets)) for blend in blends)
    del blends
    return comparison.compare(metric, targets, base=base, candidate=candidate, groups=groups, n_comparisons=n_members)


def _calibrated(probs: Probs, targets: Targets) -> Probs:
    logs = calibration.log_probs(probs)
    return calibration.scaled(logs, calibration.fit_temperature(logs, targets))


def compare_members(
    read: Read, names: Sequence[str], *, metric: Metric, targets: Targets, groups: Groups
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return DIFFERENCES and MEMBER_VALUE. Each member is read twice; one is in memory at a time.

    A member is redundant where the whole interval of what it adds is within EQUIVALENT of 0.

    Args:
        read: member -> out-of-fold probabilities (images, classes).
        names: of the members, sorted.
        metric: the contest's.
        targets: (images,) class indices.
        groups: (images,) what is independent of each other.
    """
    found = gather(read, names, targets, metric)
    measured = pairs(found.right)
    if len(names) == 1:
        return pairs_table(names, measured), _only_member(names[0], found.scores[0])
    rows = []
    for k, name in enumerate(names):
        compared = member_value(read(name), found.total, len(names), metric=metric, targets=targets, groups=groups)
        other = most_alike(k, names, measured[MEASURES[0]])
        rows.append(
            {
                "member": name,
                "score": round(found.scores[k], 6),
                **comparison.cells(compared),
                "most_alike": other[0],
                "effect": _effect(compared),
                "sentence": _sentence(name, compared, metric, other),
            }
        )
    return pairs_table(names, measured), pd.DataFrame(rows, columns=list(MEMBER_VALUE.columns))


def most_alike(k: int, names: Sequence[str], correlation: NDArray[np.float64]) -> tuple[str, float]:
    """Return the member whose errors correlate most with those of member `k`; "" where none is defined."""
    others = np.where(np.arange(len(names)) == k, -np.inf, np.nan_to_num(correlation[k], nan=-np.inf))
    best = int(np.argmax(others))
    return (names[best], float(others[best])) if np.isfinite(others[best]) else ("", float("nan"))


def _effect(compared: Comparison) -> str:
    if compared.verdict in EFFECTS:
        return EFFECTS[compared.verdict]
    within = all(one.low > -EQUIVALENT and one.high < EQUIVALENT for one in (compared.in_metric, compared.in_log_loss))
    return "redundant" if within else "unclear"


def _sentence(name: str, compared: Comparison, metric: Metric, closest: tuple[str, float]) -> str:
    other, correlation = closest
    like = f"; its errors are most like those of {other} (correlation {correlation:.2f})" if other else ""
    value, loss = compared.in_metric, compared.in_log_loss
    in_loss = "" if metric.name == "log_loss" else f" and {_gain(loss)} in log loss (nats)"
    return (
        f"{name} {SENTENCES[_effect(compared)]}: by adding it, the equal mean of the members gains {_gain(value)} in"
        f" {metric.name}{in_loss}; above 0 is better{like}"
    )


def _gain(found: intervals.Evidence) -> str:
    return f"{found.difference:+.4f} (95% interval {found.low:+.4f} to {found.high:+.4f})"


def _only_member(name: str, score: float) -> pd.DataFrame:
    row = {"member": name, "score": round(score, 6), **comparison.cells(None, "only member"), "most_alike": ""}
    row |= {"effect": "only member", "sentence": f"{name} is the only member"}
    return pd.DataFrame([row], columns=list(MEMBER_VALUE.columns))


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return ratio
