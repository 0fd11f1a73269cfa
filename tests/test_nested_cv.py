from dataclasses import replace

import numpy as np
import pytest

from podium.core.targets import LabelNames, probs_of_rows
from podium.ensembling import blending, evidence_tables, nested_cv, selection
from podium.ensembling.methods import equal
from podium.ensembling.nested_cv import NONE_HELD_OUT, NestedCv
from podium.ensembling.tta_selection import OofByTta
from podium.folds.outer_folds import deal
from podium.predictions import calibration
from podium.predictions.tta import Tta
from podium.scoring import comparison, scores, thresholds
from podium.scoring.evaluation_set import EvaluationSet

TRANSFORMS = ("identity",)
AUTO = ["equal", "logits", "greedy", "weighted", "stacking"]


def evaluation_set(targets: np.ndarray, metric: str = "accuracy", n_folds: int = 5) -> EvaluationSet:
    groups = np.arange(len(targets))
    folds = groups % n_folds
    return EvaluationSet(targets, folds, groups, deal(folds, groups, targets), scores.SCORES[metric])


def members_of(probs: np.ndarray, images: EvaluationSet) -> list[OofByTta]:
    """Members of (members, sizes, images, classes)."""
    found = []
    for member in probs:
        logs = {Tta((100 + i,), TRANSFORMS): calibration.log_probs(of_size) for i, of_size in enumerate(member)}
        default, *others = logs
        found.append(OofByTta(default, tuple(others), logs, images))
    return found


def simulated(
    seed: int, skills: list[float], n: int = 200, n_classes: int = 3, n_sizes: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, n_classes, n)
    noise = rng.normal(size=(len(skills), n_sizes, n, n_classes))
    logits = noise + np.array(skills)[:, None, None, None] * np.eye(n_classes)[targets]
    exps = np.exp(logits)
    return (exps / exps.sum(axis=-1, keepdims=True)).astype(np.float32), targets


def nested_of(probs: np.ndarray, images: EvaluationSet, methods: list[str] = AUTO) -> NestedCv:
    held_out = nested_cv.held_out_sets(images, len(methods))
    members = [nested_cv.choose_member(member, held_out) for member in members_of(probs, images)]
    return NestedCv(images, members, methods, 10)


@pytest.mark.parametrize(
    ("metric", "methods"),
    [
        ("accuracy", AUTO),
        ("macro_f1", ["equal", "weighted"]),
        ("balanced_accuracy", ["equal", "greedy"]),
        ("mcc", ["equal", "logits"]),
        ("roc_auc", ["equal", "ranks"]),
    ],
)
def test_the_targets_of_an_outer_fold_change_nothing_that_predicts_it(metric: str, methods: list[str]) -> None:
    probs, targets = simulated(5, [1.0, 1.5, 0.5], n=150)
    s = evaluation_set(targets, metric)
    turned = np.where(s.outer_folds == 1, (targets + 1) % 3, targets)
    first, second = (nested_of(probs, evaluation_set(t, metric), methods).outcome() for t in (targets, turned))
    here = s.outer_folds == 1
    np.testing.assert_array_equal(first.oof[here], second.oof[here])
    assert (first.oof[~here] != second.oof[~here]).any()
    assert first.selections[1] == second.selections[1]
    for name in methods:
        np.testing.assert_array_equal(first.by_method[name][here], second.by_method[name][here])


def test_a_temperature_of_each_label_helps_where_confidence_differs_and_sees_no_held_out_target() -> None:
    rng, names = np.random.default_rng(0), LabelNames(["a", "b", "c"])
    truth = 2 * rng.normal(size=(400, 3))
    targets = (rng.random(truth.shape) < 1 / (1 + np.exp(-truth))).astype(np.int64)
    given = (1 / (1 + np.exp(-truth * [0.4, 1, 2.5]))).astype(np.float32)
    images, groups = np.arange(400), np.arange(400) % 5
    outer = np.repeat(deal(groups, images, targets[:, 0]), 3)
    found = []
    for of_fold_1, n_labels in ((targets, 0), (targets, 3), (1 - targets, 3)):
        rows = np.where(outer == 1, of_fold_1.ravel(), targets.ravel())
        s = EvaluationSet(rows, np.repeat(groups, 3), np.repeat(images, 3), outer, scores.named("log_loss", names))
        nested = nested_of(probs_of_rows(given, names)[None, None], s, ["equal"])
        found.append(replace(nested, tempered_labels=n_labels).outcome())
    common, own, turned = found
    assert scores.log_loss(targets.ravel(), own.oof) < scores.log_loss(targets.ravel(), common.oof) - 0.02
    assert not common.recipe.label_temperatures
    least, _, most = own.recipe.label_temperatures
    assert least < 0.7
    assert most > 1.4
    np.testing.assert_array_equal(own.oof[outer == 1], turned.oof[outer == 1])


def test_blends_of_noise_are_not_flattered_but_naive_ones_are() -> None:
    naive, nested, best = [], [], []
    for seed in range(12):
        probs, targets = simulated(seed, [0.0] * 10, n=120, n_sizes=3)
        s = evaluation_set(targets)
        cv = nested_of(probs, s, ["greedy"])
        found = cv.outcome()
        naive.append(scores.accuracy_score(targets, found.naive))
        nested.append(scores.accuracy_score(targets, found.oof))
        best.append(max(scores.accuracy_score(targets, nested_cv.member_oof(cv, k)) for k in range(10)))
    assert np.mean(naive) > 0.38
    assert np.mean(best) > 0.38
    assert abs(np.mean(nested) - 1 / 3) < 0.03


def test_the_naive_blend_is_the_recipe_on_all_images() -> None:
    probs, targets = simulated(1, [1.0, 1.2], n_sizes=1)
    s = evaluation_set(targets)
    cv = nested_of(probs, s, ["equal"])
    found = cv.outcome()
    temperatures = [chosen.choices[NONE_HELD_OUT].calibration.temperature for chosen in cv.members]
    ttas = [
        member.logs[chosen.choices[NONE_HELD_OUT].tta]
        for member, chosen in zip(members_of(probs, s), cv.members, strict=True)
    ]
    mean = np.mean([calibration.scaled(x, t) for x, t in zip(ttas, temperatures, strict=True)], axis=0)
    expected = calibration.scaled(np.log(mean), found.recipe.temperature)
    np.testing.assert_allclose(found.naive, expected, atol=1e-5)
    assert 0.3 < found.recipe.temperature < 1  # a mean of calibrated members is not sure enough


def test_the_method_with_the_smallest_left_out_cost_is_chosen() -> None:
    for skills, repeat in (([1.2, 1.2, 1.2], [0, 1, 2]), ([1.0, 2.2], [0, 0, 0, 0, 0, 1])):
        probs, targets = simulated(2, skills, n=400, n_sizes=1)
        images = evaluation_set(targets)
        found = nested_of(probs[repeat], images).outcome()
        reported = selection.report(images, found.by_method, "equal")
        assert [one.method for one in reported] == AUTO
        assert found.selection.method == min(reported, key=lambda one: one.cost).method
        assert [one.method for one in reported if one.compared is None] == ["equal"]


def test_a_member_outvoted_by_five_copies_of_a_weak_one_gets_its_weight() -> None:
    two, targets = simulated(2, [1.0, 2.2], n=400, n_sizes=1)
    images = evaluation_set(targets)
    found = nested_of(two[[0, 0, 0, 0, 0, 1]], images).outcome()
    assert found.selection.method in ("greedy", "weighted", "stacking")
    reported = {one.method: one for one in selection.report(images, found.by_method, "equal")}
    compared = reported[found.selection.method].compared
    assert compared is not None
    assert compared.verdict == comparison.BETTER


def test_simpler_methods_win_ties() -> None:
    probs, targets = simulated(1, [1.0], n_sizes=1)
    images = evaluation_set(targets)
    same = dict.fromkeys(reversed(AUTO), probs[0, 0])
    assert selection.choose_method(images, np.arange(len(targets)), same.items()) == "equal"


def test_with_nothing_to_gain_the_nested_score_is_that_of_new_images() -> None:
    """Members of the same skill: the choices of size and method gain nothing, and the nested score knows it."""
    bias = []
    for seed in range(8):
        probs, targets = simulated(seed, [1.0, 1.0, 1.0], n=1200, n_sizes=2)
        images = evaluation_set(targets[:200])
        cv = nested_of(probs[:, :, :200], images, ["equal", "greedy", "weighted"])
        found = cv.outcome()
        new = []
        for member, chosen in zip(probs, cv.members, strict=True):
            choice = chosen.choices[NONE_HELD_OUT]
            places = [size - 100 for size in choice.tta.image_sizes]
            logs = calibration.log_probs(member[places, 200:].mean(axis=0))
            new.append(choice.calibration.apply(logs, None))
        fresh = found.recipe.apply(new)
        bias.append(scores.log_loss(targets[:200], found.oof) - scores.log_loss(targets[200:], fresh))
    assert abs(np.mean(bias)) < 2.5 * np.std(bias, ddof=1) / np.sqrt(len(bias))
    assert abs(np.mean(bias)) < 0.05


def test_the_blend_of_copies_is_seldom_said_to_be_better_than_its_members() -> None:
    """Members that differ by a little noise and are equally good, of which a blend makes nothing."""
    better, n_draws = 0, 30
    for seed in range(n_draws):
        rng = np.random.default_rng(seed)
        targets = rng.integers(0, 3, 150)
        logits = rng.normal(size=(150, 3)) + np.eye(3)[targets]
        probs = np.exp(logits + 0.02 * rng.normal(size=(4, 1, 150, 3)))
        probs = (probs / probs.sum(axis=-1, keepdims=True)).astype(np.float32)
        images = evaluation_set(targets)
        cv = nested_of(probs, images, ["greedy"])
        members = {str(k): nested_cv.member_oof(cv, k) for k in range(4)}
        table = evidence_tables.blend(images, cv.outcome().oof, members)
        better += (table["verdict"] == comparison.BETTER).any()
    assert better <= 3


def test_thresholds_follow_the_metric() -> None:
    """None for accuracy, inverse class frequencies for balanced accuracy, fitted ones for macro F1."""
    rng = np.random.default_rng(0)
    targets = (rng.random(600) < 0.08).astype(np.int64)
    logits = np.stack([np.zeros(600), -2.5 + 2.5 * targets + rng.normal(size=600)], axis=1)
    probs = np.tile(calibration.scaled(logits.astype(np.float32), 1.0), (2, 1, 1, 1))
    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc")
    found = {name: nested_of(probs, evaluation_set(targets, name), ["equal"]).outcome() for name in metrics}
    for name in ("accuracy", "log_loss", "roc_auc"):
        assert not found[name].selection.uses_thresholds
        assert found[name].recipe.decision is None
    for name in ("balanced_accuracy", "macro_f1"):
        assert found[name].selection.uses_thresholds
        assert all(selected.uses_thresholds for selected in found[name].selections)
        assert found[name].recipe.decision.values[1] > found[name].recipe.decision.values[0]
    counts = np.bincount(targets)
    multipliers = found["balanced_accuracy"].recipe.decision.values
    assert multipliers[1] / multipliers[0] == pytest.approx(counts[0] / counts[1])
    function = scores.SCORES["balanced_accuracy"].function
    plain = function(targets, found["accuracy"].oof)
    assert function(targets, found["balanced_accuracy"].oof) > plain + 0.1


@pytest.mark.parametrize("metric", ["mcc", "kappa"])
def test_kappas_and_mcc_use_multipliers_only_where_a_test_supports_them(metric: str) -> None:
    probs, targets = simulated(4, [1.5, 1.5], n=150, n_sizes=1)  # classes are equally frequent: nothing to gain
    found = nested_of(probs, evaluation_set(targets, metric), ["equal"]).outcome()
    assert not found.selection.uses_thresholds
    assert found.recipe.decision is None
    rng = np.random.default_rng(0)
    targets = (rng.random(1500) < 0.08).astype(np.int64)
    evidence = 1.5 * (rng.normal(size=1500) + 1.5 * targets) - 1.5**2 / 2  # log likelihood ratio
    logits = np.stack([np.zeros(1500), np.log(0.08 / 0.92) - 1.5 + evidence], axis=1)  # finds too few
    rare = np.tile(calibration.scaled(logits.astype(np.float32), 1.0), (2, 1, 1, 1))
    helped = nested_of(rare, evaluation_set(targets, metric), ["equal"]).outcome()
    assert helped.selection.uses_thresholds
    assert helped.recipe.decision.values[1] > helped.recipe.decision.values[0]


def test_quadratic_kappa_is_decided_by_the_expected_position_fitted_without_the_scored_outer_fold() -> None:
    """Probabilities that cannot tell the outer classes of three: the mean says the middle one, and costs least."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 300)
    logits = np.stack([-targets, np.full(300, -1.4), targets - 2], axis=1) + 0.5 * rng.normal(size=(300, 3))
    probs = np.tile(calibration.scaled(logits.astype(np.float32), 1.0), (2, 1, 1, 1))
    metric = scores.named("quadratic_kappa", ["0", "1", "2"])

    def outcome(targets: np.ndarray) -> nested_cv.Outcome:
        return nested_of(probs, replace(evaluation_set(targets), metric=metric), ["equal"]).outcome()

    found = outcome(targets)
    assert isinstance(found.recipe.decision, thresholds.ExpectedPosition)
    assert all(selected.uses_thresholds for selected in found.selections)
    assert metric.function(targets, found.oof) > metric.function(targets, found.by_method["equal"]) + 0.05
    scored = evaluation_set(targets).outer_folds == 1
    turned = outcome(np.where(scored, 2 - targets, targets))
    np.testing.assert_array_equal(found.oof[scored], turned.oof[scored])


@pytest.mark.parametrize("n_folds", [2, 3, 5, 12])
def test_outer_folds_are_three_to_five_and_cross_no_group_or_fold(n_folds: int) -> None:
    folds = np.repeat(np.arange(60) % n_folds, 2)
    groups = np.repeat(np.arange(60), 2)
    outer_folds = deal(folds, groups, groups % 3)
    assert len(set(outer_folds)) == {2: 4, 3: 3, 5: 5, 12: 5}[n_folds]
    for group in range(60):
        assert len(set(outer_folds[groups == group])) == 1
    if n_folds > 2:
        for fold in range(n_folds):
            assert len(set(outer_folds[folds == fold])) == 1


@pytest.mark.parametrize("n_folds", [2, 3])
def test_few_folds_are_enough(n_folds: int) -> None:
    probs, targets = simulated(3, [1.0, 1.2], n=90)
    found = nested_of(probs, evaluation_set(targets, n_folds=n_folds)).outcome()
    np.testing.assert_allclose(found.oof.sum(axis=1), 1, atol=1e-5)


def test_the_order_of_images_does_not_matter() -> None:
    probs, targets = simulated(6, [1.0, 1.5], n=120)
    s, order = evaluation_set(targets), np.random.default_rng(0).permutation(120)
    first = nested_of(probs, s).outcome()
    mixed = EvaluationSet(*(x[order] for x in (s.targets, s.folds, s.groups, s.outer_folds)), s.metric)
    second = nested_of(probs[:, :, order], mixed).outcome()
    assert second.selection == first.selection
    np.testing.assert_allclose(second.oof, first.oof[order], atol=1e-4)


def test_a_recipe_without_a_decision_gives_what_it_blends() -> None:
    probs, targets = simulated(7, [1.0, 1.2], n_sizes=1)
    recipe = nested_cv.Recipe(equal.fit(probs[:, 0], blending.Fitting(targets)))
    np.testing.assert_array_equal(recipe.apply(probs[:, 0]), recipe.blended(probs[:, 0]))
    moved = replace(recipe, decision=thresholds.Multipliers(np.array([1.0, 1.0, 50.0]))).apply(probs[:, 0])
    assert (moved.argmax(axis=1) == 2).mean() > 0.9


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_greedy_selection_is_judged_as_its_blend_will_decide(metric: str) -> None:
    """No member's argmax is ever the rare class, so all score the same until they are divided by class frequencies."""
    rng, prior = np.random.default_rng(0), np.array([0.95, 0.05])
    targets = rng.choice(2, 600, p=prior)
    rare = np.stack([np.full(600, 0.05), np.where(targets == 1, 0.4, 0.03) + 0.02 * rng.random(600)])
    probs = np.stack([1 - rare, rare], axis=2).astype(np.float32)
    images = evaluation_set(targets, metric)
    blend = nested_of(probs[:, None], images, ["greedy"]).outcome().recipe.blend
    assert blend.weights is not None
    assert blend.weights[1] > 0.9
