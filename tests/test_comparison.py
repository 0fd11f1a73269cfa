"""Is B better than A: the verdict, the intervals that it follows from, and what it is in several runs."""

from dataclasses import astuple

import numpy as np
import pytest

from podium.scoring import comparison, intervals, scores
from podium.scoring.comparison import BETTER, MIXED, SAME, UNCLEAR, WORSE, Comparison
from podium.scoring.intervals import Evidence

ACCURACY, LOG_LOSS = scores.SCORES["accuracy"], scores.SCORES["log_loss"]
ALL = [scores.named(name, "01") for name in scores.NAMES]


def right_or_wrong(targets: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (np.eye(2)[np.where(right, targets, 1 - targets)] * 0.8 + 0.1).astype(np.float32)


def two(seed: int, shares: tuple[float, float], n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, and two predictions (images, 2) that are right on these shares of images and differ everywhere."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, n)
    found = [right_or_wrong(targets, rng.random(n) < share) ** rng.uniform(0.8, 1.2, (n, 1)) for share in shares]
    first, second = ((one / one.sum(1, keepdims=True)).astype(np.float32) for one in found)
    return targets, first, second


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_every_metric_sees_which_is_better(metric: scores.Metric) -> None:
    targets, first, second = two(0, (0.7, 0.9))
    groups = np.arange(400)
    found = comparison.compare(metric, targets, base=first, candidate=second, groups=groups)
    assert found.verdict == BETTER
    assert found.p < 0.05
    back = comparison.compare(metric, targets, base=second, candidate=first, groups=groups)
    assert back.verdict == WORSE
    assert back.p == pytest.approx(found.p)
    for one, other in ((found.in_metric, back.in_metric), (found.in_log_loss, back.in_log_loss)):
        assert 0 < one.low < one.difference < one.high
        assert (one.low, one.difference, one.high) == pytest.approx((-other.high, -other.difference, -other.low))


def evidence(low: float, high: float) -> Evidence:
    return Evidence((low + high) / 2, low, high, 0.5, 0.5)


def test_the_verdict_follows_from_both_intervals() -> None:
    above, below, around = evidence(0.1, 0.2), evidence(-0.2, -0.1), evidence(-0.1, 0.2)
    verdicts = {
        (above, above): BETTER,
        (above, around): BETTER,
        (around, below): WORSE,
        (above, below): MIXED,
        (around, around): UNCLEAR,
        (around, intervals.NOTHING): UNCLEAR,
        (intervals.NOTHING, intervals.NOTHING): SAME,
    }
    for both, verdict in verdicts.items():
        assert Comparison(*both, 1.0).verdict == verdict


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_p_is_below_5_percent_where_the_verdict_is_clear(metric: scores.Metric) -> None:
    seen = set()
    for seed in range(12):
        targets, first, second = two(seed, (0.7, 0.7 + 0.015 * seed), n=200)
        found = comparison.compare(
            metric, targets, base=first, candidate=second, groups=np.arange(200) // 2, n_comparisons=3
        )
        assert (found.p < 0.05) == (found.verdict != UNCLEAR)
        seen.add(found.verdict)
    assert {BETTER, UNCLEAR} <= seen


@pytest.mark.parametrize("name", list(scores.SCORES))
def test_predictions_that_differ_by_rounding_alone_are_the_same(name: str) -> None:
    rng, metric = np.random.default_rng(0), scores.SCORES[name]
    targets, base = np.arange(90) % 3, rng.dirichlet([0.1, 1, 1], 90).astype(np.float32)
    base[:2] = np.float32(1 / 3)  # a tie, which rounding breaks
    rounded = base * (1 + rng.choice([-1e-6, 1e-6], base.shape)).astype(np.float32)
    changed = base * (1 + rng.choice([-1e-3, 1e-3], base.shape)).astype(np.float32)
    found = comparison.compare(metric, targets, base=base, candidate=rounded, groups=np.arange(90))
    assert (found.verdict, found.p) == (SAME, 1)
    found = comparison.compare(metric, targets, base=base, candidate=changed, groups=np.arange(90))
    assert found.verdict != SAME


@pytest.mark.parametrize("name", ["accuracy", "macro_f1"])
def test_two_that_are_equally_good_seldom_differ(name: str) -> None:
    """For the metric and log loss together."""
    clear = 0
    for seed in range(150):
        targets, first, second = two(seed, (0.8, 0.8), n=120)
        found = comparison.compare(scores.SCORES[name], targets, base=first, candidate=second, groups=np.arange(120))
        clear += found.verdict != UNCLEAR
    assert clear <= 13  # of 150 at 5%: more in one of 30 tests


def test_images_that_stand_and_fall_together_count_once() -> None:
    targets = np.arange(40) % 2
    first = right_or_wrong(targets, np.arange(40) >= 8)
    second = right_or_wrong(targets, np.full(40, True))
    alone, together = (
        comparison.compare(ACCURACY, targets, base=first, candidate=second, groups=groups)
        for groups in (np.arange(40), np.arange(40) // 8)
    )
    assert (alone.verdict, together.verdict) == (BETTER, UNCLEAR)
    assert together.in_metric.high - together.in_metric.low > 1.5 * (alone.in_metric.high - alone.in_metric.low)


def test_a_class_that_a_draw_lacks_is_no_obstacle() -> None:
    targets = np.array([0] * 30 + [1])
    probs = np.linspace(0.1, 0.9, 31)
    first = np.stack([1 - probs, probs], 1).astype(np.float32)
    found = comparison.compare(
        scores.SCORES["roc_auc"], targets, base=first, candidate=first[::-1], groups=np.arange(31)
    )
    assert np.isfinite([found.in_metric.low, found.in_metric.high, found.p]).all()


@pytest.mark.parametrize("name", ["accuracy", "log_loss", "roc_auc"])
def test_runs_that_vary_make_a_gain_less_sure(name: str) -> None:
    """The same mean difference over images, once by equal runs and once by runs of which one gains all."""
    groups, metric = np.arange(400), scores.SCORES[name]
    targets, first, second = two(0, (0.75, 0.85))
    alike = comparison.compare_runs(metric, targets, bases=[first] * 3, candidates=[second] * 3, groups=groups)
    once = comparison.compare(metric, targets, base=first, candidate=second, groups=groups)
    assert astuple(alike.in_metric) == pytest.approx(astuple(once.in_metric))
    assert astuple(alike.in_log_loss) == pytest.approx(astuple(once.in_log_loss))
    varied = comparison.compare_runs(
        metric, targets, bases=[first, first, second], candidates=[second, second, first], groups=groups
    )
    one = comparison.compare_runs(metric, targets, bases=[first] * 3, candidates=[second, first, first], groups=groups)
    assert varied.in_metric.difference == pytest.approx(alike.in_metric.difference / 3)
    assert one.in_metric.difference == pytest.approx(alike.in_metric.difference / 3)
    assert alike.verdict == BETTER
    assert varied.verdict == one.verdict == UNCLEAR
