from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from podium.folds.outer_folds import deal
from podium.predictions import calibration
from podium.reports import ablation
from podium.reports.ablation import Step
from podium.scoring import comparison, scores
from podium.scoring.comparison import BETTER, SAME, UNCLEAR, WORSE
from podium.scoring.evaluation_set import EvaluationSet

N = 600
METRICS = ("accuracy", "macro_f1", "log_loss", "roc_auc")


def evaluation_set(metric: str = "accuracy", group_size: int = 1) -> EvaluationSet:
    order = np.random.default_rng(0).permutation(N)
    targets, groups = (order % 3).astype(np.int64), np.arange(N, dtype=np.int64) // group_size
    folds = groups % 3
    return EvaluationSet(targets, folds, groups, deal(folds, groups, targets), scores.named(metric, ["a", "b", "c"]))


def predicted(images: EvaluationSet, skill: float, seed: int, sharpness: float = 1.0) -> np.ndarray:
    """Probabilities (images, classes) of a model that sees the class through noise."""
    logits = skill * np.eye(3)[images.targets] + np.random.default_rng(seed).normal(0, 1, (N, 3))
    exps = np.exp(sharpness * logits)
    return (exps / exps.sum(axis=1, keepdims=True)).astype(np.float32)


def step_of(images: EvaluationSet, step: str, skill: float, seed: int = 1, **how: Any) -> Step:
    return Step("m", step, "", ablation.calibrated(predicted(images, skill, seed, **how), images))


@pytest.mark.parametrize("metric", METRICS)
def test_a_step_that_helps_one_that_does_nothing_and_one_that_harms(metric: str) -> None:
    images = evaluation_set(metric)
    steps = [step_of(images, *step) for step in (("0", 1.0, 1), ("up", 2.0, 2), ("same", 2.0, 3), ("down", 1.0, 4))]
    table = ablation.table([steps], images)
    assert list(table["verdict"]) == ["", BETTER, UNCLEAR, WORSE]
    assert table.loc[1, "low"] > 0 > table.loc[3, "high"]
    assert table.loc[2, "low"] < 0 < table.loc[2, "high"]
    np.testing.assert_allclose(table["log_loss_gain"].iloc[1:], -table["log_loss"].diff().iloc[1:], atol=2e-6)
    sign = -1 if metric == "log_loss" else 1
    np.testing.assert_allclose(table["gain"].iloc[1:], sign * table["score"].diff().iloc[1:], atol=2e-6)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_steps_that_do_nothing_are_rarely_said_to_do_something(metric: str) -> None:
    images, said = evaluation_set(metric), 0
    for seed in range(40):
        steps = [step_of(images, str(k), 1.5, seed=100 * seed + k) for k in range(5)]
        said += set(ablation.table([steps], images)["verdict"]) != {"", UNCLEAR}
    assert said <= 8  # 40 families at 5% in either direction: 4, of which more than 8 come in 2% of such runs


@pytest.mark.parametrize("metric", METRICS)
def test_a_step_that_changed_nothing_but_rounding_is_no_difference(metric: str) -> None:
    images = evaluation_set(metric)
    before = step_of(images, "0", 1.0)
    moved = before.probs * (1 + 1e-6 * np.random.default_rng(0).random(before.probs.shape, np.float32))
    assert (moved != before.probs).any()
    row = ablation.table([[before, Step("m", "1", "", moved)]], images).iloc[1]
    assert (row["low"], row["gain"], row["high"]) == (0, 0, 0)
    assert (row["log_loss_low"], row["log_loss_gain"], row["log_loss_high"]) == (0, 0, 0)
    assert (row["p"], row["verdict"]) == (1, SAME)


def test_two_steps_with_the_same_labels_are_not_known_to_be_equal() -> None:
    images = evaluation_set()
    before = step_of(images, "0", 1.0)
    row = ablation.table([[before, Step("m", "1", "", (before.probs + 0.01) / 1.03)]], images).iloc[1]
    assert (row["gain"], row["verdict"]) == (0, UNCLEAR)
    assert row["low"] == pytest.approx(-3 / N, abs=1e-5)
    assert row["high"] == pytest.approx(3 / N, abs=1e-5)


def test_the_intervals_of_all_steps_hold_together() -> None:
    images = evaluation_set()
    one = [step_of(images, "0", 1.0, 1), step_of(images, "up", 1.3, 2)]
    alone = ablation.table([one], images).loc[1]
    others = [[step_of(images, f"{k}", 1.0, 1), step_of(images, f"{k}+", 1.0, 1)] for k in range(3)]
    together = ablation.table([one, *others], images).loc[1]
    assert 0 < alone["p"] < 0.25
    assert together["p"] == pytest.approx(4 * alone["p"], abs=1e-5)
    for prefix in ("", "log_loss_"):
        assert together[f"{prefix}low"] < alone[f"{prefix}low"]
        assert together[f"{prefix}high"] > alone[f"{prefix}high"]


def test_images_of_a_group_are_one_piece_of_evidence() -> None:
    rng, widths = np.random.default_rng(0), []
    better = np.repeat(rng.normal(0.05, 0.2, N // 20), 20)  # alike within groups of 20
    for group_size in (1, 20):
        images = evaluation_set("log_loss", group_size=group_size)
        base = np.full((N, 3), 0.3, np.float32)
        base[np.arange(N), images.targets] = 0.4
        candidate = base.copy()
        candidate[np.arange(N), images.targets] += better.astype(np.float32)
        candidate = np.clip(candidate, 0.01, None) / np.clip(candidate, 0.01, None).sum(axis=1, keepdims=True)
        table = ablation.table([[Step("m", "0", "", base), Step("m", "1", "", candidate)]], images)
        widths.append(table.loc[1, "high"] - table.loc[1, "low"])
    assert widths[1] > 3 * widths[0]


def test_a_temperature_is_fitted_on_other_outer_folds() -> None:
    """An outer fold's labels change nothing about its own temperature, which corrects predictions that are too sure."""
    images = evaluation_set()
    sure = predicted(images, 1.0, 1, sharpness=4)
    before = ablation.calibrated(sure, images)
    assert scores.log_loss(images.targets, before) < scores.log_loss(images.targets, sure)
    here = images.rows({0})
    targets = images.targets.copy()
    targets[here] = (targets[here] + 1) % 3
    other = EvaluationSet(targets, images.folds, images.groups, images.outer_folds, images.metric)
    after = ablation.calibrated(sure, other)
    np.testing.assert_array_equal(after[here], before[here])
    assert (after[images.rows({1})] != before[images.rows({1})]).any()


@pytest.mark.parametrize("answers_balanced", [False, True])
def test_a_training_that_corrected_for_the_classes_counts_gets_back_the_prior_that_it_lost(
    answers_balanced: bool,
) -> None:
    """Weights lose their effect once a network fits its images: a prior that is still there is not put back."""
    rng, prior = np.random.default_rng(0), np.array([0.9, 0.05, 0.05])
    targets = rng.choice(3, N, p=prior)
    images = replace(evaluation_set("log_loss"), targets=targets)
    logits = 1.5 * (rng.normal(size=(N, 3)) + 1.5 * np.eye(3)[targets])
    natural = calibration.scaled((logits + np.log(prior)).astype(np.float32), 1.0)
    balanced = calibration.scaled(logits.astype(np.float32), 1.0)
    shifts = calibration.prior_shifts(targets, images.folds, 3)[images.folds]
    found = ablation.calibrated(balanced if answers_balanced else natural, images, shifts)
    best = scores.log_loss(targets, ablation.calibrated(natural, images))
    assert scores.log_loss(targets, found) == pytest.approx(best, abs=0.02)


@pytest.mark.parametrize("metric", METRICS)
def test_a_member_is_better_than_its_probe_where_the_comparison_says_so(metric: str) -> None:
    images = evaluation_set(metric)
    probe, alike, better = (step_of(images, *step) for step in (("0", 1.0, 1), ("1", 1.0, 2), ("2", 2.0, 3)))
    assert ablation.is_better(better, probe, images)
    assert not ablation.is_better(alike, probe, images)
    assert not ablation.is_better(probe, better, images)


def test_a_step_with_a_better_log_loss_and_a_worse_metric_is_mixed() -> None:
    """Sharper probabilities with more wrong labels."""
    images = evaluation_set("accuracy")
    base = np.full((N, 3), 0.3, np.float32)
    base[np.arange(N), images.targets] = 0.4
    candidate = np.full((N, 3), 0.05, np.float32)
    candidate[np.arange(N), images.targets] = 0.9
    wrong = np.arange(N) % 10 == 0
    candidate[wrong] = 0.34
    candidate[wrong, images.targets[wrong]] = 0.32
    steps = [Step("m", "0", "", base), Step("m", "1", "", candidate)]
    row = ablation.table([steps], images).loc[1]
    assert row["high"] < 0 < row["log_loss_low"]
    assert (row["p"], row["verdict"]) == (0, comparison.MIXED)
    assert not ablation.is_better(steps[1], steps[0], images)


def test_one_image_a_probe_was_very_sure_and_wrong_about_hides_no_gain() -> None:
    images = evaluation_set("accuracy")
    probe, better = step_of(images, "probe", 1.0), step_of(images, "finetune", 1.5, seed=2)
    probe.probs[0] = 1e-15
    probe.probs[0, (images.targets[0] + 1) % 3] = 1
    assert ablation.is_better(better, probe, images)
    assert not ablation.is_better(probe, better, images)


def test_a_handful_of_images_is_no_clear_gain() -> None:
    images = evaluation_set("accuracy")
    probe = step_of(images, "probe", 1.0)
    better = replace(probe, name="finetune", probs=probe.probs.copy())
    for wrong in np.flatnonzero(probe.probs.argmax(axis=1) != images.targets)[:4]:
        better.probs[wrong] = np.eye(3, dtype=np.float32)[images.targets[wrong]]
    assert ablation.table([[probe, better]], images).loc[1, "low"] <= 0  # four of four: 1 in 16 by chance


def test_an_equally_good_step_is_rarely_better() -> None:
    images = evaluation_set("accuracy")
    said = 0
    for seed in range(100, 160):
        before, after = (step_of(images, f"{k}", 1.5, seed=2 * seed + k) for k in range(2))
        said += ablation.is_better(after, before, images)
    assert said <= 7  # 60 at 5%: 3, of which more than 7 come in 1% of such runs


def test_log_loss_is_named_once_where_it_is_the_metric() -> None:
    found = pd.DataFrame({"member": ["a"], "step": ["flip"], "verdict": ["better"]})
    assert ablation.summary(found, "log_loss").startswith("1 step, each compared with the one before in log loss: 1")
    assert "in accuracy and log loss: 1 better" in ablation.summary(found, "accuracy")
