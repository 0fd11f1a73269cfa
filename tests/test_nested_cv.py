from dataclasses import replace

import numpy as np
import pytest

from podium.ensembling import blending, nested_cv, selection
from podium.ensembling.methods import equal
from podium.ensembling.nested_cv import NONE_HELD_OUT, NestedCv
from podium.ensembling.tta_selection import OofByTta
from podium.folds.outer_folds import deal
from podium.predictions import calibration
from podium.predictions.tta import Tta
from podium.scoring import scores
from podium.scoring.evaluation_set import EvaluationSet

VIEWS = ("identity",)
AUTO = ["equal", "logits", "greedy", "weighted", "stacking"]


def scored(targets: np.ndarray, metric: str = "accuracy", n_folds: int = 5, group_size: int = 1) -> EvaluationSet:
    groups = np.arange(len(targets)) // group_size
    folds = groups % n_folds
    return EvaluationSet(targets, folds, groups, deal(folds, groups, targets), scores.SCORES[metric])


def members_of(probs: np.ndarray, s: EvaluationSet) -> list[OofByTta]:
    """Members of (members, sizes, images, classes)."""
    found = []
    for member in probs:
        logs = {Tta((100 + i,), VIEWS): calibration.log_probs(of_size) for i, of_size in enumerate(member)}
        usual, *others = logs
        found.append(OofByTta(usual, tuple(others), logs, s))
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


def nest_of(probs: np.ndarray, s: EvaluationSet, methods: list[str] = AUTO) -> NestedCv:
    held_out = nested_cv.choices(s, len(methods))
    return NestedCv(s, [nested_cv.chosen(member, held_out) for member in members_of(probs, s)], methods, 10)


@pytest.mark.parametrize(
    ("metric", "methods"), [("accuracy", AUTO), ("macro_f1", ["equal", "weighted"]), ("roc_auc", ["equal", "ranks"])]
)
def test_the_targets_of_a_part_change_nothing_that_predicts_it(metric: str, methods: list[str]) -> None:
    probs, targets = simulated(5, [1.0, 1.5, 0.5], n=150)
    s = scored(targets, metric)
    turned = np.where(s.outer_folds == 1, (targets + 1) % 3, targets)
    first, second = (nest_of(probs, scored(t, metric), methods).outcome() for t in (targets, turned))
    here = s.outer_folds == 1
    np.testing.assert_array_equal(first.oof[here], second.oof[here])
    assert (first.oof[~here] != second.oof[~here]).any()
    assert first.gates[1] == second.gates[1]


def test_blends_of_noise_are_not_flattered_but_naive_ones_are() -> None:
    naive, nested, best, picked = [], [], [], []
    for seed in range(12):
        probs, targets = simulated(seed, [0.0] * 10, n=120, n_sizes=3)
        s = scored(targets)
        nest = nest_of(probs, s, ["greedy"])
        found = nest.outcome()
        naive.append(scores.accuracy_score(targets, found.naive))
        nested.append(scores.accuracy_score(targets, found.oof))
        picked.append(scores.accuracy_score(targets, nested_cv.best_member_oof(nest)[1]))
        best.append(max(scores.accuracy_score(targets, nested_cv.single(nest, k)) for k in range(10)))
    assert np.mean(naive) > 0.38
    assert np.mean(best) > 0.38
    assert abs(np.mean(nested) - 1 / 3) < 0.03
    assert abs(np.mean(picked) - 1 / 3) < 0.03


def test_the_naive_blend_is_the_recipe_on_all_images() -> None:
    probs, targets = simulated(1, [1.0, 1.2], n_sizes=1)
    s = scored(targets)
    nest = nest_of(probs, s, ["equal"])
    found = nest.outcome()
    temperatures = [chosen.decisions[NONE_HELD_OUT].temperature for chosen in nest.members]
    ttas = [
        member.logs[chosen.decisions[NONE_HELD_OUT].tta]
        for member, chosen in zip(members_of(probs, s), nest.members, strict=True)
    ]
    mean = np.mean([calibration.scaled(x, t) for x, t in zip(ttas, temperatures, strict=True)], axis=0)
    expected = calibration.scaled(np.log(mean), found.recipe.temperature)
    np.testing.assert_allclose(found.naive, expected, atol=1e-5)
    assert 0.3 < found.recipe.temperature < 1  # a mean of calibrated members is not sure enough


def test_the_gate_keeps_the_equal_mean_for_alike_members_and_leaves_it_for_one_that_stands_out() -> None:
    alike, targets = simulated(2, [1.2, 1.2, 1.2], n=400, n_sizes=1)
    assert nest_of(alike, scored(targets)).outcome().gated.method == "equal"
    two, targets = simulated(2, [1.0, 2.2], n=400, n_sizes=1)
    outvoted = two[[0, 0, 0, 0, 0, 1]]  # five times the same weak one
    gated = nest_of(outvoted, scored(targets)).outcome().gated
    assert gated.method in ("greedy", "weighted", "stacking")
    verdicts = {contender.method: contender.verdict for contender in gated.contenders}
    assert verdicts["equal"] == "default"
    assert verdicts[gated.method] == "chosen"


def test_the_gate_seldom_opens_for_nothing() -> None:
    opened = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        targets = rng.integers(0, 2, 150)
        base = rng.dirichlet((1, 1), 150)
        probs = {"equal": base, **{f"m{i}": base * rng.uniform(0.7, 1.4, (150, 2)) for i in range(4)}}
        probs = {k: (p / p.sum(axis=1, keepdims=True)).astype(np.float32) for k, p in probs.items()}
        judged = selection.SelectionImages(scores.SCORES["accuracy"], targets, np.arange(150))
        opened += selection.choose_method(judged, probs).method != "equal"
    assert opened <= 4


def test_decisions_are_fitted_where_classes_are_rare_and_only_for_metrics_of_labels() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random(600) < 0.08).astype(np.int64)
    logits = np.stack([np.zeros(600), -2.5 + 2.5 * targets + rng.normal(size=600)], axis=1)
    probs = np.tile(calibration.scaled(logits.astype(np.float32), 1.0), (2, 1, 1, 1))
    plain = nest_of(probs, scored(targets, "accuracy"), ["equal"]).outcome()
    found = nest_of(probs, scored(targets, "balanced_accuracy"), ["equal"]).outcome()
    assert not plain.gated.decided
    assert plain.recipe.multipliers is None
    assert found.gated.decided
    assert found.recipe.multipliers[1] > found.recipe.multipliers[0]
    function = scores.SCORES["balanced_accuracy"].function
    assert function(targets, found.oof) > function(targets, plain.oof) + 0.1


@pytest.mark.parametrize("n_folds", [2, 3, 5, 12])
def test_parts_are_three_to_five_and_cross_no_group_or_fold(n_folds: int) -> None:
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
    found = nest_of(probs, scored(targets, n_folds=n_folds)).outcome()
    np.testing.assert_allclose(found.oof.sum(axis=1), 1, atol=1e-5)


def test_the_order_of_images_does_not_matter() -> None:
    probs, targets = simulated(6, [1.0, 1.5], n=120)
    s, order = scored(targets), np.random.default_rng(0).permutation(120)
    first = nest_of(probs, s).outcome()
    mixed = EvaluationSet(*(x[order] for x in (s.targets, s.folds, s.groups, s.outer_folds)), s.metric)
    second = nest_of(probs[:, :, order], mixed).outcome()
    assert second.gated.method == first.gated.method
    np.testing.assert_allclose(second.oof, first.oof[order], atol=1e-4)


def test_a_recipe_without_decisions_gives_what_it_blends() -> None:
    probs, targets = simulated(7, [1.0, 1.2], n_sizes=1)
    recipe = nested_cv.Recipe(equal.fit(probs[:, 0], blending.Fitting(targets)))
    folds = np.zeros(len(targets), np.int64)
    np.testing.assert_array_equal(recipe.apply(probs[:, 0], folds), recipe.blended(probs[:, 0], folds))
    decided = replace(recipe, multipliers=np.array([1.0, 1.0, 50.0])).apply(probs[:, 0], folds)
    assert (decided.argmax(axis=1) == 2).mean() > 0.9
