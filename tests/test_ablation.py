from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from podium.folds.outer_folds import deal
from podium.reports import ablation
from podium.reports.ablation import HARMFUL, OPEN, SUPPORTED, Rung
from podium.scoring import scores
from podium.scoring.evaluation_set import EvaluationSet

N = 600
METRICS = ("accuracy", "macro_f1", "log_loss", "roc_auc")


def images(metric: str = "accuracy", group_size: int = 1) -> EvaluationSet:
    order = np.random.default_rng(0).permutation(N)
    targets, groups = (order % 3).astype(np.int64), np.arange(N, dtype=np.int64) // group_size
    folds = groups % 3
    return EvaluationSet(targets, folds, groups, deal(folds, groups, targets), scores.named(metric, ["a", "b", "c"]))


def predicted(scored: EvaluationSet, skill: float, seed: int, sharpness: float = 1.0) -> np.ndarray:
    """Probabilities (images, classes) of a model that sees the class through noise."""
    logits = skill * np.eye(3)[scored.targets] + np.random.default_rng(seed).normal(0, 1, (N, 3))
    exps = np.exp(sharpness * logits)
    return (exps / exps.sum(axis=1, keepdims=True)).astype(np.float32)


def rung(scored: EvaluationSet, step: str, skill: float, seed: int = 1, **how: Any) -> Rung:
    return Rung("m", step, "", ablation.tempered(predicted(scored, skill, seed, **how), scored))


@pytest.mark.parametrize("metric", METRICS)
def test_a_step_that_helps_one_that_does_nothing_and_one_that_harms(metric: str) -> None:
    scored = images(metric)
    ladder = [rung(scored, *step) for step in (("0", 1.0, 1), ("up", 2.0, 2), ("same", 2.0, 3), ("down", 1.0, 4))]
    table = ablation.judge([ladder], scored)
    assert list(table["verdict"]) == ["", SUPPORTED, OPEN, HARMFUL]
    assert table.loc[1, "low"] > 0 > table.loc[3, "high"]
    assert table.loc[2, "low"] < 0 < table.loc[2, "high"]
    np.testing.assert_allclose(table["log_loss_gain"].iloc[1:], -table["log_loss"].diff().iloc[1:], atol=2e-6)
    sign = -1 if metric == "log_loss" else 1
    np.testing.assert_allclose(table["gain"].iloc[1:], sign * table["score"].diff().iloc[1:], atol=2e-6)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_steps_that_do_nothing_are_rarely_said_to_do_something(metric: str) -> None:
    scored, said = images(metric), 0
    for seed in range(40):
        ladder = [rung(scored, str(k), 1.5, seed=100 * seed + k) for k in range(5)]
        said += set(ablation.judge([ladder], scored)["verdict"]) != {"", OPEN}
    assert said <= 8  # 40 families at 5% in either direction: 4, of which more than 8 come in 2% of such runs


@pytest.mark.parametrize("metric", METRICS)
def test_a_step_that_was_not_taken_is_none_though_its_predictions_were_rounded_otherwise(metric: str) -> None:
    scored = images(metric)
    below = rung(scored, "0", 1.0)
    moved = below.probs * (1 + 1e-6 * np.random.default_rng(0).random(below.probs.shape, np.float32))
    assert (moved != below.probs).any()
    row = ablation.judge([[below, Rung("m", "1", "", moved)]], scored).iloc[1]
    assert (row["low"], row["gain"], row["high"]) == (0, 0, 0)
    assert (row["p_better"], row["p_worse"], row["verdict"]) == (1, 1, OPEN)


def test_two_rungs_with_the_same_labels_are_not_known_to_be_equal() -> None:
    scored = images()
    below = rung(scored, "0", 1.0)
    row = ablation.judge([[below, Rung("m", "1", "", (below.probs + 0.01) / 1.03)]], scored).iloc[1]
    assert (row["gain"], row["verdict"]) == (0, OPEN)
    assert row["low"] == pytest.approx(-3 / N, abs=1e-5)
    assert row["high"] == pytest.approx(3 / N, abs=1e-5)


def test_holm_counts_the_steps_of_all_ladders() -> None:
    scored = images()
    one = [rung(scored, "0", 1.0, 1), rung(scored, "up", 1.3, 2)]
    alone = ablation.judge([one], scored)["p_better"][1]
    others = [[rung(scored, f"{k}", 1.0, 1), rung(scored, f"{k}+", 1.0, 1)] for k in range(3)]
    assert 0 < alone < 0.25
    assert ablation.judge([one, *others], scored)["p_better"][1] == pytest.approx(4 * alone, abs=1e-5)


def test_images_of_a_group_are_one_piece_of_evidence() -> None:
    rng, widths = np.random.default_rng(0), []
    better = np.repeat(rng.normal(0.05, 0.2, N // 20), 20)  # alike within groups of 20
    for group_size in (1, 20):
        scored = images("log_loss", group_size=group_size)
        base = np.full((N, 3), 0.3, np.float32)
        base[np.arange(N), scored.targets] = 0.4
        candidate = base.copy()
        candidate[np.arange(N), scored.targets] += better.astype(np.float32)
        candidate = np.clip(candidate, 0.01, None) / np.clip(candidate, 0.01, None).sum(axis=1, keepdims=True)
        table = ablation.judge([[Rung("m", "0", "", base), Rung("m", "1", "", candidate)]], scored)
        widths.append(table.loc[1, "high"] - table.loc[1, "low"])
    assert widths[1] > 3 * widths[0]


def test_a_temperature_is_fitted_on_other_parts() -> None:
    """Labels of a outer_fold say nothing about its own temperature; it mends predictions that are too sure."""
    scored = images()
    sure = predicted(scored, 1.0, 1, sharpness=4)
    before = ablation.tempered(sure, scored)
    assert scores.log_loss(scored.targets, before) < scores.log_loss(scored.targets, sure)
    here = scored.rows({0})
    targets = scored.targets.copy()
    targets[here] = (targets[here] + 1) % 3
    other = EvaluationSet(targets, scored.folds, scored.groups, scored.outer_folds, scored.metric)
    after = ablation.tempered(sure, other)
    np.testing.assert_array_equal(after[here], before[here])
    assert (after[scored.rows({1})] != before[scored.rows({1})]).any()


@pytest.mark.parametrize("metric", METRICS)
def test_a_member_beats_its_probe_only_surely(metric: str) -> None:
    scored = images(metric)
    probe, alike, better = (rung(scored, *step) for step in (("0", 1.0, 1), ("1", 1.0, 2), ("2", 2.0, 3)))
    assert ablation.beats(better, probe, scored)
    assert not ablation.beats(alike, probe, scored)
    assert not ablation.beats(probe, better, scored)


def test_a_step_whose_metric_falls_is_not_supported_by_log_loss() -> None:
    """Sharper probabilities with more wrong labels."""
    scored = images("accuracy")
    base = np.full((N, 3), 0.3, np.float32)
    base[np.arange(N), scored.targets] = 0.4
    candidate = np.full((N, 3), 0.05, np.float32)
    candidate[np.arange(N), scored.targets] = 0.9
    wrong = np.arange(N) % 50 == 0
    candidate[wrong] = 0.34
    candidate[wrong, scored.targets[wrong]] = 0.32
    table = ablation.judge([[Rung("m", "0", "", base), Rung("m", "1", "", candidate)]], scored)
    assert table.loc[1, "p_better"] < 0.001
    assert table.loc[1, "gain"] < 0
    assert table.loc[1, "verdict"] == OPEN


def test_one_image_a_probe_was_very_sure_and_wrong_about_hides_no_gain() -> None:
    scored = images("accuracy")
    probe, better = rung(scored, "probe", 1.0), rung(scored, "finetune", 1.5, seed=2)
    probe.probs[0] = 1e-15
    probe.probs[0, (scored.targets[0] + 1) % 3] = 1
    assert ablation.beats(better, probe, scored)
    assert not ablation.beats(probe, better, scored)


def test_a_handful_of_images_is_no_sure_gain() -> None:
    scored = images("accuracy")
    probe = rung(scored, "probe", 1.0)
    better = replace(probe, step="finetune", probs=probe.probs.copy())
    for wrong in np.flatnonzero(probe.probs.argmax(axis=1) != scored.targets)[:4]:
        better.probs[wrong] = np.eye(3, dtype=np.float32)[scored.targets[wrong]]
    assert not ablation.beats(better, probe, scored)  # four of four: 1 in 16 by chance


def test_what_is_no_better_rarely_beats() -> None:
    scored = images("accuracy")
    said = sum(
        ablation.beats(rung(scored, "1", 1.5, seed=2 * seed), rung(scored, "0", 1.5, seed=2 * seed + 1), scored)
        for seed in range(100, 160)
    )
    assert said <= 7  # 60 at 5%: 3, of which more than 7 come in 1% of such runs
