"""Is B better than A? One definition for `ensemble`, `report`, `ladder`, `make compare` and `tools.seeds`.

Two predictions of the same images are compared in the contest's metric and in log loss. The verdict follows from the
two intervals, which tables print beside it. Where several comparisons stand in one table, their intervals hold
together: the chance that any of them misses its true value is 5% (Bonferroni), so that the verdicts need no further
correction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from podium.contracts import COMPARISON
from podium.scoring import intervals, scores
from podium.scoring.intervals import Evidence, Groups
from podium.scoring.metric import Metric

Probs = NDArray[np.float32]
Targets = NDArray[np.int64]

BETTER, WORSE, MIXED, UNCLEAR = "better", "worse", "mixed", "no clear difference"
SAME = "no difference"


@dataclass(frozen=True)
class Comparison:
    """What images say of a candidate against a baseline; above 0 is better, of a loss too.

    Attributes:
        in_metric: in the contest's metric.
        in_log_loss: in nats.
        p: two-sided, that there is no difference in either, adjusted for both and for all comparisons (Bonferroni).
    """

    in_metric: Evidence
    in_log_loss: Evidence
    p: float

    @property
    def verdict(self) -> str:
        """Return better, worse, mixed, "no clear difference", or "no difference" where the predictions are the same."""
        both = (self.in_metric, self.in_log_loss)
        if all(one == intervals.NOTHING for one in both):
            return SAME
        better, worse = any(one.low > 0 for one in both), any(one.high < 0 for one in both)
        if better and worse:
            return MIXED
        return BETTER if better else WORSE if worse else UNCLEAR


def compare(
    metric: Metric, targets: Targets, *, base: Probs, candidate: Probs, groups: Groups, n_comparisons: int = 1
) -> Comparison:
    """Compare two predictions (images, classes).

    Args:
        metric: the contest's.
        targets: (images,) class indices.
        base: calibrated probabilities of the baseline.
        candidate: calibrated probabilities of the candidate.
        groups: (images,) what is independent of each other.
        n_comparisons: rows of the table that this comparison stands in.
    """
    return compare_runs(
        metric, targets, bases=[base], candidates=[candidate], groups=groups, n_comparisons=n_comparisons
    )


def compare_runs(
    metric: Metric,
    targets: Targets,
    *,
    bases: Sequence[Probs],
    candidates: Sequence[Probs],
    groups: Groups,
    n_comparisons: int = 1,
) -> Comparison:
    """Compare two ways of predicting that were each trained several times with different seeds.

    The difference is the mean over runs. Seeds are no new images: each image's losses and hits are averaged over runs
    first, and a metric that is no mean over images is averaged over runs in each bootstrap draw of groups. The error
    of seeds is added to that of images, because other seeds would train other networks.

    Args:
        metric: the contest's.
        targets: (images,) class indices.
        bases: calibrated probabilities (images, classes) of the baseline, of each run.
        candidates: those of the candidate, in the same order.
        groups: (images,) what is independent of each other.
        n_comparisons: rows of the table that this comparison stands in.
    """
    pairs = list(zip(bases, candidates, strict=True))
    if all(scores.alike(base, candidate) for base, candidate in pairs):
        return Comparison(intervals.NOTHING, intervals.NOTHING, 1.0)
    n_tests = n_comparisons * (1 if metric.is_log_loss else 2)
    level = 1 - (1 - intervals.LEVEL) / n_tests
    gains = np.array([scores.log_losses(targets, base) - scores.log_losses(targets, new) for base, new in pairs])
    in_log_loss = _mean_over_runs(gains, groups, level)
    in_metric = in_log_loss
    if metric.is_share_of_images:
        hits = np.array([_hits(targets, new) - _hits(targets, base) for base, new in pairs])
        in_metric = _mean_over_runs(hits, groups, level)
        if in_metric == intervals.NOTHING:
            in_metric = intervals.no_difference_seen(groups)
    elif not metric.is_log_loss:
        in_metric = intervals.score_evidence_of_runs(
            metric, targets, bases=bases, candidates=candidates, groups=groups, level=level
        )
    smallest = min(min(one.p_better, one.p_worse) for one in (in_metric, in_log_loss))
    return Comparison(in_metric, in_log_loss, min(1.0, 2 * smallest * n_tests))


def _mean_over_runs(differences: intervals.Values, groups: Groups, level: float) -> Evidence:
    """Test the mean of differences (runs, images)."""
    return intervals.mean_evidence(differences.mean(axis=0), groups, level, of_runs=differences.mean(axis=1))


def _hits(targets: Targets, probs: Probs) -> intervals.Values:
    return np.asarray(probs.argmax(axis=1) == targets, np.float64)


def cells(compared: Comparison | None, without: str = "") -> dict[str, object]:
    """Return the cells of contracts.COMPARISON.

    Args:
        compared: None in the row that others are compared with.
        without: the verdict that such a row has.
    """
    if compared is None:
        return {name: float("nan") if kind == "float" else without for name, kind in COMPARISON.items()}
    metric, loss = compared.in_metric, compared.in_log_loss
    numbers = [metric.difference, metric.low, metric.high, loss.difference, loss.low, loss.high, compared.p]
    return {
        **dict(zip(COMPARISON, (round(number, 6) for number in numbers), strict=False)),
        "verdict": compared.verdict,
    }
