import itertools
from typing import Any

import numpy as np
import pytest

from podium import contracts
from podium.scoring import comparison, intervals, scores
from podium.scoring.comparison import BETTER, MIXED, SAME, UNCLEAR, WORSE, Comparison
from podium.scoring.intervals import Evidence

N = 300
TARGETS = np.arange(N) % 3
ALONE = np.arange(N)
METRICS = list(scores.SCORES)


def predicted(skill: float, seed: int, targets: np.ndarray = TARGETS) -> np.ndarray:
    """Probabilities (images, classes) of a model that sees the class through noise."""
    logits = skill * np.eye(3)[targets] + np.random.default_rng(seed).normal(size=(len(targets), 3))
    exps = np.exp(logits)
    return (exps / exps.sum(axis=1, keepdims=True)).astype(np.float32)


def compared(metric: str, base: np.ndarray, candidate: np.ndarray, **how: Any) -> Comparison:
    groups = how.pop("groups", ALONE)
    return comparison.compare(scores.SCORES[metric], TARGETS, base=base, candidate=candidate, groups=groups, **how)


def test_contracts_have_the_same_columns() -> None:
    for table in (contracts.TTA, contracts.METHODS, contracts.BLEND):
        assert contracts.COMPARISON.items() <= table.columns.items()


def evidence(side: str) -> Evidence:
    low, high = {"above": (0.1, 0.3), "below": (-0.3, -0.1), "around": (-0.1, 0.3), "touches": (0.0, 0.3)}[side]
    return Evidence((low + high) / 2, low, high, 0.5, 0.5)


@pytest.mark.parametrize(
    ("in_metric", "in_log_loss", "verdict"),
    [
        ("above", "above", BETTER),
        ("above", "around", BETTER),
        ("around", "above", BETTER),
        ("touches", "around", UNCLEAR),
        ("around", "around", UNCLEAR),
        ("above", "below", MIXED),
        ("below", "above", MIXED),
        ("below", "around", WORSE),
        ("touches", "below", WORSE),
        ("below", "below", WORSE),
    ],
)
def test_the_verdict_follows_from_the_two_intervals(in_metric: str, in_log_loss: str, verdict: str) -> None:
    assert Comparison(evidence(in_metric), evidence(in_log_loss), 0.5).verdict == verdict


def test_a_change_without_effect_on_either_scale_is_not_the_same_prediction() -> None:
    assert Comparison(intervals.NOTHING, intervals.NOTHING, 1.0).verdict == SAME
    assert Comparison(intervals.NOTHING, evidence("around"), 1.0).verdict == UNCLEAR


@pytest.mark.parametrize("metric", METRICS)
def test_a_better_a_worse_and_an_equally_good_candidate(metric: str) -> None:
    weak, strong, other = predicted(1.0, 1), predicted(2.5, 2), predicted(1.0, 3)
    assert compared(metric, weak, strong).verdict == BETTER
    assert compared(metric, strong, weak).verdict == WORSE
    assert compared(metric, weak, other).verdict == UNCLEAR


@pytest.mark.parametrize("metric", METRICS)
def test_the_same_predictions_have_no_difference(metric: str) -> None:
    base = predicted(1.0, 1)
    rounded = base * (1 + np.random.default_rng(0).choice([-1e-6, 1e-6], base.shape)).astype(np.float32)
    for candidate in (base, rounded):
        found = compared(metric, base, candidate, n_comparisons=4)
        assert (found.verdict, found.p) == (SAME, 1)
        cells = comparison.cells(found)
        assert [cells[name] for name, kind in contracts.COMPARISON.items() if kind == "float"] == [0] * 6 + [1]


@pytest.mark.parametrize("metric", ["accuracy", "micro_f1", "macro_f1", "kappa"])
def test_predictions_with_the_same_labels_may_still_differ_on_other_images(metric: str) -> None:
    base = predicted(1.0, 1)
    sharper = base**3 / (base**3).sum(axis=1, keepdims=True)
    found = compared(metric, base, sharper)
    assert (found.in_metric.low, found.in_metric.difference, found.in_metric.high) == (-3 / N, 0, 3 / N)
    assert found.in_log_loss.difference != 0
    assert found.verdict == WORSE  # in log loss


@pytest.mark.parametrize("metric", METRICS)
def test_both_scales_are_reported_with_their_signs(metric: str) -> None:
    base, candidate = predicted(1.0, 1), predicted(1.4, 2)
    found = compared(metric, base, candidate)
    cells = comparison.cells(found)
    assert list(cells) == list(contracts.COMPARISON)
    utility = scores.SCORES[metric].utility
    assert cells["gain"] == pytest.approx(utility(TARGETS, candidate) - utility(TARGETS, base), abs=2e-6)
    loss = scores.log_loss(TARGETS, base) - scores.log_loss(TARGETS, candidate)
    assert cells["log_loss_gain"] == pytest.approx(loss, abs=2e-6)
    for prefix in ("", "log_loss_"):
        assert cells[f"{prefix}low"] < cells[f"{prefix}gain"] < cells[f"{prefix}high"]
    if metric == "log_loss":
        assert found.in_metric == found.in_log_loss


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "log_loss", "roc_auc"])
def test_more_comparisons_widen_intervals_and_raise_p(metric: str) -> None:
    base, candidate = predicted(1.0, 1), predicted(1.4, 2)
    found = [compared(metric, base, candidate, n_comparisons=n) for n in (1, 2, 10, 100)]
    for one, more in itertools.pairwise(found):
        for scale in ("in_metric", "in_log_loss"):
            narrow, wide = getattr(one, scale), getattr(more, scale)
            assert wide.low < narrow.low
            assert wide.high > narrow.high
            assert wide.difference == narrow.difference
        assert more.p >= one.p
    assert found[1].p == pytest.approx(min(1, 2 * found[0].p))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_comparisons", [1, 5])
def test_an_interval_excludes_0_exactly_where_the_adjusted_two_sided_p_is_below_5_percent(
    metric: str, n_comparisons: int
) -> None:
    n_tests = n_comparisons * (1 if metric in {"log_loss", "kl_divergence"} else 2)
    sides = set()
    for seed in range(25):
        found = compared(
            metric,
            predicted(1.2, 2 * seed),
            predicted(1.2 + seed / 25, 2 * seed + 1),
            n_comparisons=n_comparisons,
            groups=ALONE // 2,
        )
        p_values = []
        for one in (found.in_metric, found.in_log_loss):
            p_values.append(min(1.0, 2 * n_tests * min(one.p_better, one.p_worse)))
            excludes = one.low > 0 or one.high < 0
            assert excludes == (p_values[-1] < 0.05)
            sides.add(excludes)
        assert found.p == pytest.approx(min(p_values))
        assert (found.p < 0.05) == (found.verdict in (BETTER, WORSE, MIXED))
    assert sides == {True, False}


def test_images_of_a_group_are_one_piece_of_evidence() -> None:
    base, candidate = (np.repeat(predicted(skill, seed, TARGETS[:60]), 5, axis=0) for skill, seed in ((1, 1), (1.6, 2)))
    targets = np.repeat(TARGETS[:60], 5)
    widths = []
    for groups in (np.arange(300), np.arange(300) // 5):
        found = comparison.compare(scores.SCORES["accuracy"], targets, base=base, candidate=candidate, groups=groups)
        widths.append(found.in_log_loss.high - found.in_log_loss.low)
    assert widths[1] > 1.8 * widths[0]


def test_chance_alone_makes_a_verdict_in_about_one_of_twenty_tables() -> None:
    """A table of five comparisons of equally good predictions."""
    said = 0
    for seed in range(60):
        base, *others = (predicted(1.2, 10 * seed + k) for k in range(6))
        verdicts = {compared("accuracy", base, one, n_comparisons=5).verdict for one in others}
        said += verdicts != {UNCLEAR}
    assert said <= 7  # 60 at 5% or less: 3, of which more than 7 come in 1% of such runs


def test_a_row_that_is_compared_with_nothing_has_empty_cells() -> None:
    cells = comparison.cells(None, "default")
    assert cells["verdict"] == "default"
    assert all(np.isnan(cells[name]) for name, kind in contracts.COMPARISON.items() if kind == "float")  # type: ignore[call-overload]
