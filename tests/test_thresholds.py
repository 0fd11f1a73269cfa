import time

import numpy as np
import pytest
from scipy import stats

from podium.scoring import scores, thresholds

LABEL_METRICS = [name for name in scores.NAMES if scores.named(name, "01").judges_labels]


def contest(n: int, prior: list[float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets and their exact posterior probabilities under Gaussian evidence."""
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(len(prior)), rng.choice(len(prior), n - len(prior), p=prior)])
    evidence = rng.normal(0, 1, (n, len(prior)))
    evidence[np.arange(n), targets] += 1.5
    logits = 1.5 * evidence + np.log(prior)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return targets, odds / odds.sum(1, keepdims=True)


def gain(name: str, n: int, prior: list[float], seed: int) -> float:
    """How much better the decisions of n images are on others than the likeliest class."""
    metric = scores.named(name, [str(k) for k in range(len(prior))])
    decision = thresholds.fit(*contest(n, prior, seed), metric)
    targets, probs = contest(10_000, prior, seed + 1000)
    return metric.function(targets, decision.apply(probs)) - metric.function(targets, probs)


def multipliers_of(targets: np.ndarray, probs: np.ndarray, metric: scores.Metric) -> np.ndarray:
    decision = thresholds.fit(targets, probs, metric)
    assert isinstance(decision, thresholds.Multipliers)
    return decision.values


RARE = {2: [0.9, 0.1], 4: [0.55, 0.28, 0.12, 0.05]}


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize(("name", "least"), [("balanced_accuracy", 0.05), ("macro_f1", 0.003)])
def test_rare_classes_are_named_more_often_and_it_helps_on_other_images(
    name: str, least: float, n_classes: int
) -> None:
    gains = [gain(name, 700, RARE[n_classes], seed) for seed in range(15)]
    assert np.mean(gains) > least


@pytest.mark.parametrize("name", LABEL_METRICS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_few_images_do_no_harm_on_average(name: str, n_classes: int) -> None:
    gains = [gain(name, 150, RARE[n_classes], seed) for seed in range(15)]
    assert np.mean(gains) > -0.005


def test_a_biased_model_of_two_equal_classes_gets_a_threshold() -> None:
    targets, probs = contest(500, [0.5, 0.5], 0)
    biased = probs * [1, 5]
    biased /= biased.sum(1, keepdims=True)
    multipliers = multipliers_of(targets, biased, scores.SCORES["accuracy"])
    assert 0.1 < multipliers[1] / multipliers[0] < 0.4
    assert scores.accuracy_score(targets, thresholds.Multipliers(multipliers).apply(biased)) > (
        scores.accuracy_score(targets, biased) + 0.03
    )


@pytest.mark.parametrize("n_classes", [2, 4])
def test_multipliers_are_1_where_nothing_is_gained(n_classes: int) -> None:
    targets = np.arange(200) % n_classes
    probs = np.eye(n_classes)[targets] * 0.9 + 0.1 / n_classes
    assert multipliers_of(targets, probs, scores.SCORES["macro_f1"]) == pytest.approx(np.ones(n_classes))


def test_a_class_without_images_is_no_obstacle() -> None:
    targets, probs = contest(200, RARE[4], 0)
    here = targets != 3
    multipliers = multipliers_of(targets[here], probs[here], scores.SCORES["balanced_accuracy"])
    assert np.isfinite(multipliers).all()
    assert np.log(multipliers).sum() == pytest.approx(0, abs=1e-9)


def test_the_order_of_images_changes_nothing() -> None:
    targets, probs = contest(300, RARE[4], 1)
    turned = multipliers_of(targets[::-1], probs[::-1], scores.SCORES["macro_f1"])
    np.testing.assert_array_equal(multipliers_of(targets, probs, scores.SCORES["macro_f1"]), turned)


def test_probabilities_stay_probabilities() -> None:
    probs = thresholds.Multipliers(np.array([0.5, 2.0])).apply(np.array([[0.7, 0.3], [0.0, 1.0]]))
    np.testing.assert_allclose(probs, [[0.35 / 0.95, 0.6 / 0.95], [0, 1]], rtol=1e-6)


@pytest.mark.parametrize("name", ["log_loss", "roc_auc", "average_precision"])
def test_metrics_of_probabilities_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} judges probabilities"):
        thresholds.fit(*contest(50, RARE[2], 0), scores.SCORES[name])


@pytest.mark.parametrize("n_classes", [2, 4])
def test_balanced_accuracy_divides_by_the_class_frequencies_whatever_the_probabilities(n_classes: int) -> None:
    targets, probs = contest(400, RARE[n_classes], 0)
    metric = scores.SCORES["balanced_accuracy"]
    multipliers = multipliers_of(targets, probs, metric)
    counts = np.bincount(targets)
    np.testing.assert_allclose(multipliers * counts, multipliers[0] * counts[0])
    assert np.log(multipliers).sum() == pytest.approx(0, abs=1e-9)
    np.testing.assert_array_equal(multipliers_of(targets, probs[::-1], metric), multipliers)
    np.testing.assert_allclose(multipliers_of(np.repeat(targets, 3), np.repeat(probs, 3, axis=0), metric), multipliers)


def test_balanced_accuracy_of_equally_frequent_classes_needs_no_multipliers() -> None:
    targets = np.arange(90) % 3
    probs = np.random.default_rng(0).dirichlet((1, 1, 1), 90)
    assert multipliers_of(targets, probs, scores.SCORES["balanced_accuracy"]) == pytest.approx(np.ones(3))


QUADRATIC = scores.named("quadratic_kappa", ["0", "1", "2", "3"])


def ordered(n: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four ordered classes of unequal frequency, and probabilities from a noisy view of a hidden score."""
    rng = np.random.default_rng(seed)
    score, edges = rng.normal(size=n), np.array([-np.inf, 0.0, 0.7, 1.3, np.inf])
    seen = (score + noise * rng.normal(size=n)) / (1 + noise**2)
    probs = np.diff(stats.norm.cdf((edges - seen[:, None]) / (noise / np.sqrt(1 + noise**2))), axis=1)
    return np.searchsorted(edges[1:-1], score), probs / probs.sum(axis=1, keepdims=True)


def test_the_expected_position_gains_quadratic_kappa_on_other_images() -> None:
    gains = []
    for seed in range(10):
        decision = thresholds.fit(*ordered(150, 0.7, seed), QUADRATIC)
        targets, probs = ordered(5000, 0.7, seed + 100)
        gains.append(QUADRATIC.function(targets, decision.apply(probs)) - QUADRATIC.function(targets, probs))
    assert min(gains) > 0


def test_predictions_get_the_spread_of_the_true_classes() -> None:
    targets, probs = ordered(20_000, 0.7, 0)
    decided = thresholds.fit(targets, probs, QUADRATIC).apply(probs).argmax(axis=1)
    assert decided.std() == pytest.approx(targets.std(), rel=0.1)
    assert decided.mean() == pytest.approx(targets.mean(), rel=0.1)
    assert (probs @ np.arange(4)).std() < 0.9 * targets.std()


def test_only_images_whose_class_changes_change_and_the_others_keep_their_ratios() -> None:
    targets, probs = ordered(500, 1.0, 0)
    decided = thresholds.fit(targets, probs, QUADRATIC).apply(probs)
    same = decided.argmax(axis=1) == probs.argmax(axis=1)
    assert 0 < same.sum() < len(targets)
    np.testing.assert_allclose(decided[same], probs[same], rtol=1e-5)
    np.testing.assert_allclose(decided.sum(axis=1), 1, rtol=1e-5)
    for before, after in zip(probs[~same], decided[~same], strict=True):
        others = np.arange(4) != after.argmax()
        np.testing.assert_allclose(
            after[others] / after[others].sum(), before[others] / before[others].sum(), rtol=1e-4
        )


def test_the_expected_position_follows_the_classes_order_as_numbers() -> None:
    """The column of class 10 comes before that of class 2."""
    targets, probs = ordered(400, 0.7, 1)
    columns = np.argsort(["1", "2", "9", "10"])  # 1, 10, 2, 9
    metric = scores.named("quadratic_kappa", sorted(["1", "2", "9", "10"]))
    turned = thresholds.fit(np.argsort(columns)[targets], probs[:, columns], metric).apply(probs[:, columns])
    plain = thresholds.fit(targets, probs, QUADRATIC).apply(probs)
    np.testing.assert_allclose(turned, plain[:, columns], rtol=1e-6)


@pytest.mark.parametrize("label", [0, 3])
def test_images_of_one_class_are_predicted_as_it(label: int) -> None:
    _, probs = ordered(50, 0.7, 2)
    decided = thresholds.fit(np.full(50, label), probs, QUADRATIC).apply(probs)
    assert (decided.argmax(axis=1) == label).all()


def test_20000_images_of_10_classes_take_a_fraction_of_a_second() -> None:
    targets, probs = contest(20_000, [0.1] * 10, 0)
    start = time.perf_counter()
    thresholds.fit(targets, probs, scores.SCORES["macro_f1"])
    assert time.perf_counter() - start < 1
