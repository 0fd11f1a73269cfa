from dataclasses import replace

import numpy as np
import pytest

from podium.ensembling import nested_cv, tta_selection
from podium.ensembling.tta_selection import OofByTta, TtaCandidate, TtaChoice, choose_tta
from podium.predictions import calibration
from podium.predictions.tta import FINETUNE, PROBE, Tta, alternative_ttas, average_ttas, default_tta, single_ttas
from podium.scoring import comparison, scores
from podium.scoring.evaluation_set import EvaluationSet

BOTH = ("hflip", "identity")


def evaluation_set(targets: np.ndarray, metric: str = "accuracy", group_size: int = 1) -> EvaluationSet:
    groups = np.arange(len(targets)) // group_size
    return EvaluationSet(targets, groups % 5, groups, groups % 5, scores.SCORES[metric])


def noisy_logs(targets: np.ndarray, noise: np.ndarray, skill: float, sharpness: float = 2.0) -> np.ndarray:
    logits = noise + skill * np.eye(noise.shape[1])[targets]
    return calibration.log_probs(calibration.scaled((sharpness * logits).astype(np.float32), 1.0))


def member(
    skills: list[float],
    *,
    seed: int = 0,
    n: int = 500,
    noise: float = 0.3,
    metric: str = "accuracy",
    group_size: int = 1,
) -> OofByTta:
    """A member with a size per skill, the default one first; sizes share most of their noise."""
    rng = np.random.default_rng(seed)
    targets = np.repeat(rng.integers(0, 3, n // group_size), group_size)
    shared = rng.normal(size=(n, 3))
    logs = {}
    for index, skill in enumerate(skills):
        logs[Tta((100 + 10 * index,), BOTH)] = noisy_logs(targets, shared + noise * rng.normal(size=(n, 3)), skill)
    default, *others = logs
    return OofByTta(default, tuple(others), logs, evaluation_set(targets, metric, group_size))


def with_phases(
    finetune: float, probe: float, *, sizes: int = 2, seed: int = 0, n: int = 400, shared: float = 0.0
) -> OofByTta:
    """A member whose phases have these skills and noise of their own, but for a share that all have."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, n)
    common, logs = rng.normal(size=(n, 3)), {}
    for phase, skill in ((FINETUNE, finetune), (PROBE, probe)):
        of_phase = np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.normal(size=(n, 3))
        for index in range(sizes):
            noise = of_phase + 0.2 * rng.normal(size=(n, 3))
            logs[Tta((100 + 10 * index,), BOTH, (phase,))] = noisy_logs(targets, noise, skill)
    default, *others = logs
    return OofByTta(default, tuple(others), logs, evaluation_set(targets))


def sizes_of(found: TtaChoice) -> tuple[int, ...]:
    return found.tta.image_sizes


def by_sizes(found: list[TtaCandidate]) -> dict[tuple[int, ...], TtaCandidate]:
    return {candidate.tta.image_sizes: candidate for candidate in found}


def held_out_probs(one: OofByTta) -> np.ndarray:
    """Predictions by nested cross-validation."""
    held_out = nested_cv.held_out_sets(one.images, 1)
    chosen = nested_cv.choose_member(one, held_out)
    return nested_cv.member_oof(nested_cv.NestedCv(one.images, [chosen], ["equal"]), 0)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "roc_auc", "macro_f1", "balanced_accuracy"])
def test_the_candidate_with_the_smallest_cost_is_chosen(metric: str) -> None:
    one = member([1.0, 1.9], metric=metric)
    found, reported = choose_tta(one), tta_selection.report(one)
    best = min(reported, key=lambda candidate: candidate.cost)
    assert (found.tta, found.calibration) == (best.tta, best.calibration)
    assert 110 in sizes_of(found)
    assert best.compared is not None
    assert best.compared.verdict == comparison.BETTER


def test_the_default_tta_wins_ties() -> None:
    one = member([1.5, 1.4])
    logs = dict.fromkeys(one.logs, one.logs[one.default])
    assert choose_tta(replace(one, logs=logs, _curves={})).tta == one.default


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_a_size_that_collapses_is_never_chosen_alone_or_in_an_average(metric: str) -> None:
    for seed in range(10):
        one = member([1.8, 1.85, 0.6], seed=seed, metric=metric)
        reported = by_sizes(tta_selection.report(one))
        assert reported[120,].compared is not None
        assert reported[120,].compared.verdict == comparison.WORSE
        assert 120 not in sizes_of(choose_tta(one))
        assert all(120 not in sizes for sizes in reported if len(sizes) > 1)


def test_without_a_second_size_that_does_no_harm_there_is_no_average() -> None:
    assert set(by_sizes(tta_selection.report(member([1.8, 0.6])))) == {(100,), (110,)}


def test_choosing_among_ten_sizes_that_do_nothing_does_no_harm_to_held_out_images() -> None:
    """The nested score of the choice is no worse than the default TTA's, but for chance."""
    lost = []
    for seed in range(12):
        one = member([1.5] * 11, seed=seed, n=200)
        default = one.calibration(one.default).apply(one.logs[one.default], None)
        targets = one.images.targets
        lost.append(scores.log_loss(targets, held_out_probs(one)) - scores.log_loss(targets, default))
    assert np.mean(lost) < 2 * np.std(lost, ddof=1) / np.sqrt(len(lost))


def test_the_average_of_sizes_is_chosen_where_their_noise_differs() -> None:
    assert sizes_of(choose_tta(member([1.2, 1.2, 1.2], noise=1.5, n=1000))) == (100, 110, 120)


@pytest.mark.parametrize("seed", range(4))
def test_after_a_harmful_fine_tuning_the_probe_predicts(seed: int) -> None:
    one = with_phases(0.5, 1.6, seed=seed)
    chosen = nested_cv.choose_member(one, nested_cv.held_out_sets(one.images, 1))
    assert {choice.tta.phases for choice in chosen.choices.values()} == {(PROBE,)}
    probe = one.alternatives[-1]
    base = one.calibration(probe).apply(one.logs[probe], None)
    found = held_out_probs(one)
    targets, n = one.images.targets, len(one.images.targets)
    before, after = scores.log_losses(targets, base), scores.log_losses(targets, found)
    assert after.mean() - before.mean() < before.std() / np.sqrt(n)
    hits = [(probs.argmax(axis=1) == targets).mean() for probs in (base, found)]
    assert hits[1] > hits[0] - scores.accuracy_standard_error(hits[0], n)


def test_the_average_of_both_phases_is_chosen_where_their_errors_differ() -> None:
    for seed in range(4):
        assert choose_tta(with_phases(1.2, 1.2, seed=seed)).tta.phases == (FINETUNE, PROBE)
        assert choose_tta(with_phases(1.2, 1.2, sizes=1, seed=seed)).tta.phases == (FINETUNE, PROBE)


def test_a_collapsed_probe_is_part_of_no_average() -> None:
    for seed in range(4):
        one = with_phases(1.8, 0.2, seed=seed)
        assert choose_tta(one).tta.phases == (FINETUNE,)
        averages = [tta for tta in tta_selection.candidates(one) if len(single_ttas(tta)) > 1]
        assert averages == [Tta((100, 110), BOTH)]


def test_groups_weaken_evidence() -> None:
    """Images of one group that are the same image say no more than one."""
    single = member([1.2, 1.42], n=120, seed=1)
    logs = {tta: np.repeat(array, 6, axis=0) for tta, array in single.logs.items()}
    targets = np.repeat(single.images.targets, 6)
    alone = OofByTta(single.default, single.alternatives, dict(logs), evaluation_set(targets))
    grouped = OofByTta(single.default, single.alternatives, dict(logs), evaluation_set(targets, group_size=6))
    widths, p = [], []
    for one in (alone, grouped, single):
        compared = tta_selection.report(one)[1].compared
        assert compared is not None
        widths.append(compared.in_log_loss.high - compared.in_log_loss.low)
        p.append(compared.p)
    assert widths[0] < 0.6 * widths[1]
    assert p[0] < p[1]
    assert widths[1] == pytest.approx(widths[2], rel=0.2)  # the temperature's prior weighs less on six times the images


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc", "balanced_accuracy"])
def test_only_images_outside_the_held_out_folds_decide(metric: str) -> None:
    first = member([1.0, 1.9, 0.3], metric=metric)
    found = choose_tta(first, frozenset({2}))
    turned = first.images.targets.copy()
    turned[first.images.outer_folds == 2] = (turned[first.images.outer_folds == 2] + 1) % 3
    second = OofByTta(first.default, first.alternatives, dict(first.logs), evaluation_set(turned, metric))
    assert choose_tta(second, frozenset({2})) == found
    assert choose_tta(second) != choose_tta(first)


def test_one_transform_may_be_better_than_all() -> None:
    first = member([1.0, 1.9])
    default, alone = Tta((100,), BOTH), Tta((100,), ("identity",))
    logs = {default: first.logs[default], alone: first.logs[first.alternatives[0]]}
    assert choose_tta(OofByTta(default, (alone,), logs, first.images)).tta == alone


def test_the_default_tta_is_the_training_size_in_all_transforms() -> None:
    default = default_tta([288, 224], ["identity", "hflip"], 224)
    assert default == Tta((224,), BOTH)
    assert default_tta([288, 320], ["identity"], 224) == Tta((288,), ("identity",))
    assert alternative_ttas(default, [288, 224], training_size=224) == (
        Tta((288,), BOTH),
        Tta((224,), BOTH, (PROBE,)),
        Tta((288,), BOTH, (PROBE,)),
        Tta((224,), ("identity",)),
    )
    assert alternative_ttas(Tta((224,), ("identity",)), [224], training_size=224) == (
        Tta((224,), ("identity",), (PROBE,)),
    )
    many = default_tta([224], ["vflip", "identity", "hflip", "rot90"], 224)
    assert many.transforms == ("hflip", "identity", "rot90", "vflip")
    fewer = [tta.transforms for tta in alternative_ttas(many, [224], training_size=224) if PROBE not in tta.phases]
    assert fewer == [("identity",), BOTH]


def test_crops_are_a_candidate_that_all_other_transforms_are_compared_with() -> None:
    listed = ["identity", "hflip", "vflip", "crop_centre", "crop_top_left"]
    parts = [tta.transforms for tta in alternative_ttas(default_tta([224], listed, 224), [224], training_size=224)[1:]]
    assert parts == [("identity",), BOTH, ("hflip", "identity", "vflip")]


def test_an_average_is_the_mean_of_its_singles_probabilities() -> None:
    one = with_phases(1.0, 1.2, n=30)
    for tta in average_ttas(one.default, one.alternatives):
        expected = np.mean([np.exp(one.logs[single]) for single in single_ttas(tta)], axis=0)
        np.testing.assert_allclose(np.exp(one.at(tta)), expected, rtol=1e-4)


def weighted(answers_balanced: bool, seed: int, n: int = 2000) -> OofByTta:
    """Exact posteriors of two classes at 90 to 10: with their own prior, or as if both were equally frequent."""
    rng = np.random.default_rng(seed)
    prior = np.array([0.9, 0.1])
    targets = rng.choice(2, n, p=prior)
    evidence = rng.normal(size=(n, 2)) + 1.5 * np.eye(2)[targets]
    logits = 1.5 * evidence + (0 if answers_balanced else np.log(prior))
    default = Tta((100,), BOTH)
    logs = {default: calibration.log_probs(calibration.scaled(logits.astype(np.float32), 1.0))}
    images = evaluation_set(targets)
    shifts = calibration.prior_shifts(targets, images.folds, 2)[images.folds]
    return OofByTta(default, (), logs, images, {FINETUNE: shifts})


@pytest.mark.parametrize("seed", range(5))
def test_the_fitted_strength_puts_back_the_prior_that_a_training_lost_and_no_more(seed: int) -> None:
    lost, natural = (choose_tta(weighted(balanced, seed)).calibration for balanced in (True, False))
    assert lost.prior_strength >= 0.75
    assert natural.prior_strength == 0
    assert lost.temperature == pytest.approx(1, abs=0.2)
    assert natural.temperature == pytest.approx(1, abs=0.2)


def test_priors_are_put_back_on_held_out_images_too() -> None:
    one = weighted(True, 0)
    targets, probs = one.images.targets, held_out_probs(one)
    assert probs[:, 1].mean() == pytest.approx((targets == 1).mean(), abs=0.02)
    assert scores.log_loss(targets, probs) < scores.log_loss(targets, np.exp(one.logs[one.default])) - 0.1


def test_a_phase_that_weighed_no_classes_has_no_strength() -> None:
    one = with_phases(1.2, 1.2)
    shifts = np.tile(np.log(np.array([[3.0, 1.0, 1.0]], np.float32)), (len(one.images.targets), 1))
    one = replace(one, shifts={FINETUNE: shifts}, _curves={})
    probe = Tta((100,), BOTH, (PROBE,))
    assert one.shift_of(probe) is None
    assert one.calibration(probe).prior_strength == 0
    assert one.shift_of(Tta((100,), BOTH, (FINETUNE, PROBE))) is shifts


@pytest.mark.parametrize("factor", [1, 3])
def test_the_balanced_cost_does_not_change_with_the_class_frequencies(factor: int) -> None:
    """Repeating a class's images multiplies its frequency, and calibrated probabilities answer for it."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 300)
    probs = rng.dirichlet((1, 1, 1), 300)
    copies = np.where(targets == 1, factor, 1)
    repeated = np.repeat(probs * [1, factor, 1], copies, axis=0)
    costs = []
    for labels, answers in ((targets, probs), (np.repeat(targets, copies), repeated)):
        images = evaluation_set(labels, "balanced_accuracy")
        rows = np.arange(len(labels))
        costs.append(images.cost(rows, (answers / answers.sum(axis=1, keepdims=True)).astype(np.float32)))
    assert costs[1] == pytest.approx(costs[0], rel=1e-5)


def test_costs_are_log_loss_the_mean_over_classes_or_the_metric_itself() -> None:
    rng = np.random.default_rng(0)
    targets, probs = rng.integers(0, 3, 90), rng.dirichlet((1, 1, 1), 90).astype(np.float32)
    rows = np.arange(60)

    def cost(metric: str) -> float:
        return evaluation_set(targets, metric).cost(rows, probs[:60])

    for metric in ("accuracy", "log_loss", "kappa", "mcc"):
        images = replace(evaluation_set(targets), metric=scores.named(metric, "012"))
        assert images.cost(rows, probs[:60]) == pytest.approx(scores.log_loss(targets[:60], probs[:60]))
    counts = np.bincount(targets[:60])
    divided = probs[:60] / counts
    losses = -np.log(divided[rows, targets[:60]] / divided.sum(axis=1))
    expected = np.mean([losses[targets[:60] == k].mean() for k in range(3)])
    assert cost("balanced_accuracy") == cost("macro_f1") == pytest.approx(expected)
    assert cost("roc_auc") == -scores.SCORES["roc_auc"].function(targets[:60], probs[:60])
