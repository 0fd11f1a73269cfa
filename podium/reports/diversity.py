"""How members differ, and what each adds to the blend.

Measured on out-of-fold predictions. The blend here is the equal mean of all members' probabilities, whatever the
submission's weights are: equal weights were chosen on no image, so a member's value is not flattered by them. Like the
submission's it has a temperature, since a mean is less sure than its parts: the one that fits it best, with the member
and without it, so that the little that flatters is on both sides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import tables
from podium.predictions import calibration
from podium.scoring import bootstrap
from podium.scoring.bootstrap import Clusters, Difference
from podium.scoring.scores import SCORES, Metric, Targets, alike

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
MEMBERS = tables.Contract(
    {
        "member": "text",
        "score": "float",  # alone, in the contest's metric, its sizes and transforms chosen on other images
        "difference": "float",  # of the equal blend's score: with it, from without it; missing for an only member
        "low": "float",  # of the 95% interval
        "high": "float",
        "p_value": "float",  # Holm's, over the members
        "log_loss_difference": "float",  # below 0 is better
        "log_loss_low": "float",
        "log_loss_high": "float",
        "most_alike": "text",  # the member whose errors correlate most with its own; "" for an only member
        "verdict": "text",  # helps, redundant, harmful, no evidence, only member
        "sentence": "text",
    },
    key=("member",),
)
MEASURES = ("error correlation", "disagreement", "double fault", "Q statistic")
WORDS = {
    "helps": "helps",
    "harmful": "is harmful",
    "redundant": "is redundant",
    "no evidence": "neither helps nor harms for certain",
}
REPLICATES = 500  # and 25 a member, since Holm multiplies the smallest p-value, 1 / (replicates + 1), by their number
EQUIVALENT = 0.005  # of a score, or nats: an interval within this either way is no difference that matters


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
        total = probs.astype(np.float64) if total is None else total + probs
        right.append(probs.argmax(1) == targets)
        alone.append(metric.function(targets, probs))
    assert total is not None, "an ensemble has a member"
    return MemberScores(total, np.stack(right), alone)


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


def marginal(
    probs: Probs, total: NDArray[np.float64], n_members: int, *, metric: Metric, targets: Targets, cluster: Clusters
) -> Difference:
    """Compare the equal blend without a member (first) and with it (second).

    Args:
        probs: (images, classes) of the member.
        total: (images, classes) sum over all members.
        n_members: 2 at least.
        metric: what they are compared in.
        targets: (images,) class indices.
        cluster: (images,) images that stand and fall together.
    """
    without, with_it = np.maximum(total - probs, 0) / (n_members - 1), total / n_members
    if alike(without, with_it):  # before their temperatures: those are found in steps
        return bootstrap.NOTHING
    replicates = max(REPLICATES, 25 * n_members)
    first, second = (_calibrated(blend, targets) for blend in (without, with_it))
    return bootstrap.paired(metric, targets, first, second, cluster, replicates=replicates)


def _calibrated(probs: NDArray[np.float64], targets: Targets) -> Probs:
    logs = calibration.log_probs(probs.astype(np.float32))
    return calibration.scaled(logs, calibration.temperature(logs, targets))


def judge(
    read: Read, names: Sequence[str], *, metric: Metric, targets: Targets, cluster: Clusters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return DIFFERENCES and MEMBERS, reading each member three times and holding one at a time.

    A member helps or is harmful where interval and test (Holm's 5% over the members) say so, is redundant where the
    whole interval is within EQUIVALENT of no difference, and else there is no evidence either way.

    Args:
        read: member -> out-of-fold probabilities (images, classes).
        names: of the members, sorted.
        metric: the contest's.
        targets: (images,) class indices.
        cluster: (images,) images that stand and fall together.
    """
    found = gather(read, names, targets, metric)
    measured = pairs(found.right)
    if len(names) == 1:
        return pairs_table(names, measured), _only_member(names[0], found.scores[0])
    in_both = {
        key: _with_and_without(read, names, found.total, metric=each, targets=targets, cluster=cluster)
        for key, each in {metric.name: metric, "log_loss": SCORES["log_loss"]}.items()
    }
    alike = [most_alike(k, names, measured[MEASURES[0]]) for k in range(len(names))]
    rows = []
    for k, name in enumerate(names):
        value, loss = in_both[metric.name][k], in_both["log_loss"][k]
        row = [found.scores[k], value.value, value.low, value.high, value.p_value, loss.value, loss.low, loss.high]
        sentence = _sentence(name, value, loss, metric, alike[k])
        rows.append([name, *(round(x, 6) for x in row), alike[k][0], _verdict(value, metric), sentence])
    return pairs_table(names, measured), pd.DataFrame(rows, columns=list(MEMBERS.columns))


def most_alike(k: int, names: Sequence[str], correlation: NDArray[np.float64]) -> tuple[str, float]:
    """Return the member whose errors correlate most with those of member `k`; "" where none is defined."""
    others = np.where(np.arange(len(names)) == k, -np.inf, np.nan_to_num(correlation[k], nan=-np.inf))
    best = int(np.argmax(others))
    return (names[best], float(others[best])) if np.isfinite(others[best]) else ("", float("nan"))


def _with_and_without(
    read: Read, names: Sequence[str], total: NDArray[np.float64], *, metric: Metric, targets: Targets, cluster: Clusters
) -> list[Difference]:
    """Return what each member adds (members,), with Holm's p-values over the members."""
    found = [marginal(read(name), total, len(names), metric=metric, targets=targets, cluster=cluster) for name in names]
    adjusted = bootstrap.holm([difference.p_value for difference in found])
    return [replace(difference, p_value=p_value) for difference, p_value in zip(found, adjusted, strict=True)]


def _verdict(difference: Difference, metric: Metric) -> str:
    if difference.supported:
        return "helps" if (difference.value > 0) == metric.greater_is_better else "harmful"
    within = difference.low > -EQUIVALENT and difference.high < EQUIVALENT
    return "redundant" if within else "no evidence"


def _sentence(name: str, value: Difference, loss: Difference, metric: Metric, alike: tuple[str, float]) -> str:
    verdict, by_loss = _verdict(value, metric), _verdict(loss, SCORES["log_loss"])
    finer = ""
    if metric.name != "log_loss" and verdict != by_loss and by_loss in ("helps", "harmful"):
        finer = f"; but the blend's log loss shows that it {WORDS[by_loss]} ({loss.value:+.4f} nats)"
    other, correlation = alike
    like = f"; its errors are most like those of {other} (correlation {correlation:.2f})" if other else ""
    return (
        f"{name} {WORDS[verdict]}: the equal blend's {metric.name} changes by {value.value:+.4f} with it"
        f" ({value.low:+.4f} to {value.high:+.4f}){finer}{like}"
    )


def _only_member(name: str, score: float) -> pd.DataFrame:
    numbers = [float("nan")] * 7
    row = [name, round(score, 6), *numbers, "", "only member", f"{name} is the only member"]
    return pd.DataFrame([row], columns=list(MEMBERS.columns))


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return ratio
