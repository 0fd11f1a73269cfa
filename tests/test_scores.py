import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from podium.contest.settings import ContestSettings
from podium.core import params
from podium.core.errors import InputError
from podium.core.targets import LabelNames
from podium.scoring import comparison, intervals, label_scores, own_metric, rank_scores, scores

FIVE = ("0", "1", "2", "3", "10")
ALL = [scores.named(name, FIVE) for name in scores.NAMES]
CURVES = tuple(name for name, metric in scores.METRICS.items() if metric.of_ranks)
BY_NAME = {metric.name: metric for metric in ALL}


def noisy(n_classes: int, n: int = 300, strength: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n_classes + seed)
    targets = rng.integers(0, n_classes, n)
    probs = rng.dirichlet(np.ones(n_classes), n) * (1 - strength) + np.eye(n_classes)[targets] * strength * 0.5
    return targets, (probs / probs.sum(1, keepdims=True)).astype(np.float32)


def by_scikit_learn(name: str, targets: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> float:
    """The same metric by scikit-learn; classes that it would leave out by itself are told to it."""
    n_classes = probs.shape[1]
    guess, exact = probs.argmax(1), probs.astype(float) / probs.astype(float).sum(1, keepdims=True)
    given, numbers = {"sample_weight": weights}, np.array(FIVE[:n_classes], float)
    here = np.unique(targets[weights > 0])
    curves = {"roc_auc": metrics.roc_auc_score, "column_auc": metrics.roc_auc_score,
              "average_precision": metrics.average_precision_score, "weighted_auc": alaskas_auc}  # fmt: skip
    if name in curves:
        judged = [1] if n_classes == 2 else here
        return float(np.mean([curves[name](targets == k, probs[:, k], **given) for k in judged]))
    return {
        "accuracy": lambda: metrics.accuracy_score(targets, guess, **given),
        "balanced_accuracy": lambda: metrics.recall_score(targets, guess, labels=here, average="macro", **given),
        "macro_f1": lambda: metrics.f1_score(targets[weights > 0], guess[weights > 0], average="macro",
                                             sample_weight=weights[weights > 0], zero_division=0),
        "f_beta@2": lambda: metrics.fbeta_score(
            targets[weights > 0], guess[weights > 0], beta=2, average="binary" if n_classes == 2 else "macro",
            sample_weight=weights[weights > 0], zero_division=0),
        "map@5": lambda: np.average([mean_of_hits(t, row, 5) for t, row in zip(targets, probs, strict=True)],
                                    weights=weights),
        "top_accuracy@1": lambda: metrics.accuracy_score(targets, guess, **given),
        "pf1": lambda: np.mean([kaggles_pf1(targets == k, probs[:, k].astype(float), weights)
                                for k in ([1] if n_classes == 2 else here)]),
        "kl_divergence": lambda: metrics.log_loss(targets, exact, labels=range(n_classes), **given),
        "micro_f1": lambda: metrics.f1_score(targets, guess, average="micro", **given),
        "micro_f_beta@2": lambda: metrics.fbeta_score(targets, guess, beta=2, average="micro", **given),
        "samples_f_beta@2": lambda: metrics.accuracy_score(targets, guess, **given),
        "rmse": lambda: metrics.root_mean_squared_error(numbers[targets], exact @ numbers, **given),
        "mae": lambda: metrics.mean_absolute_error(numbers[targets], exact @ numbers, **given),
        "mcc": lambda: metrics.matthews_corrcoef(targets, guess, **given),
        "kappa": lambda: metrics.cohen_kappa_score(targets, guess, **given),
        "quadratic_kappa": lambda: metrics.cohen_kappa_score(
            targets, guess, labels=range(n_classes), weights="quadratic", **given),
        "log_loss": lambda: metrics.log_loss(targets, exact, labels=range(n_classes), **given),
    }[name]()  # fmt: skip


def alaskas_auc(positive: np.ndarray, score: np.ndarray, sample_weight: np.ndarray) -> float:
    """The area between true positive rates 0 and 0.4 twice, and between 0.4 and 1, over that of a perfect ranking."""
    false, true, _ = metrics.roc_curve(positive, score, sample_weight=sample_weight, drop_intermediate=False)
    cut = np.interp(0.4, true, false)
    false, true = np.append(false, cut), np.append(true, 0.4)
    order = np.lexsort((true, false))
    false, true = false[order], true[order]
    parts = [np.trapezoid(np.clip(true, low, high) - low, false) for low, high in ((0, 0.4), (0.4, 1))]
    return (2 * parts[0] + parts[1]) / (2 * 0.4 + 0.6)


def mean_of_hits(target: int, row: np.ndarray, k: int) -> float:
    """Average precision of k guesses with one right answer, guess by guess as on Kaggle."""
    for place, guess in enumerate(np.argsort(-row, kind="stable")[:k]):
        if guess == target:
            return 1 / (place + 1)
    return 0.0


def kaggles_pf1(positive: np.ndarray, p: np.ndarray, weights: np.ndarray) -> float:
    true, false = (p * positive * weights).sum(), (p * ~positive * weights).sum()
    precision, recall = true / (true + false), true / (positive * weights).sum()
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
@pytest.mark.parametrize("n_classes", [2, 5])
def test_better_predictions_have_a_higher_utility(metric: scores.Metric, n_classes: int) -> None:
    if n_classes == 2 and not (metric.positions is None and metric.numbers is None):
        metric = scores.named(metric.name, ("0", "1"))
    utilities = [metric.utility(*noisy(n_classes, strength=s)) for s in (0.0, 0.4, 0.9)]
    assert utilities == sorted(utilities)
    assert utilities[0] < utilities[2]


@pytest.mark.parametrize("name", scores.NAMES)
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("absent", [None, 0, 1])
def test_values_are_scikit_learns_whatever_the_weights_and_with_a_class_that_no_image_has(
    name: str, n_classes: int, absent: int | None
) -> None:
    metric = scores.named(name, FIVE[:n_classes])
    targets, probs = noisy(n_classes)
    probs[:40] = np.round(probs[:40], 1)  # ties
    weights = np.random.default_rng(1).integers(0, 4, (300, 3)).astype(np.float32)
    weights[targets == absent, :] = 0
    if n_classes == 2 and ((absent is not None and name in CURVES) or (absent == 1 and name == "pf1")):
        assert np.isnan(metric.weighted(targets, probs, weights)).all()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn speaks of classes that are not there
        expected = [by_scikit_learn(name, targets, probs, column.astype(float)) for column in weights.T]
    assert metric.weighted(targets, probs, weights) == pytest.approx(expected, abs=1e-6)
    here = targets != absent
    ones = np.ones(here.sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [by_scikit_learn(name, targets[here], probs[here], ones)]
    assert metric.function(targets[here], probs[here]) == pytest.approx(expected[0], abs=1e-6)


@pytest.mark.parametrize("name", [name for name in scores.NAMES if name not in CURVES])
def test_images_of_one_class_have_a_defined_value(name: str) -> None:
    targets, probs = np.full(4, 2), np.tile(np.eye(5, dtype=np.float32)[2], (4, 1))
    nothing_beyond_chance = name in ("kappa", "quadratic_kappa", "mcc")
    expected = 0 if nothing_beyond_chance or not BY_NAME[name].greater_is_better else 1
    assert BY_NAME[name].function(targets, probs) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_class_alone_has_no_curve(name: str, n_classes: int) -> None:
    with pytest.raises(ValueError, match=f"{name} needs images of two classes"):
        scores.SCORES[name].function(np.zeros(3, int), np.full((3, n_classes), 1 / n_classes))


def test_a_tie_ranks_half_and_is_predicted_as_the_first_class() -> None:
    targets, probs = np.array([0, 1]), np.full((2, 2), 0.5, np.float32)
    assert scores.SCORES["roc_auc"].function(targets, probs) == 0.5
    assert scores.SCORES["average_precision"].function(targets, probs) == 0.5
    assert scores.accuracy_score(targets, probs) == 0.5


def test_quadratic_kappa_takes_classes_in_the_order_of_their_numbers() -> None:
    classes = sorted(["2", "10", "1"])  # as text: 1, 10, 2
    metric = scores.named("quadratic_kappa", classes)
    targets = np.array([0, 0, 1, 1, 2, 2])

    def shifted(last: int) -> float:
        """One image of class 1 is predicted as another class."""
        return metric.function(targets, np.eye(3)[[0, last, 1, 1, 2, 2]])

    one, ten, two = range(3)
    assert shifted(one) == 1
    assert shifted(ten) < shifted(two) < 1


@pytest.mark.parametrize(("classes", "named"), [(("low", "mid", "3"), "low, mid"), (("1", "01"), "1, 01")])
def test_quadratic_kappa_is_refused_where_classes_have_no_order(classes: tuple[str, ...], named: str) -> None:
    with pytest.raises(InputError, match=rf"contest\.metric: quadratic_kappa needs .*: {named}; number the classes"):
        scores.named("quadratic_kappa", classes)


def test_params_may_name_every_metric_and_no_other() -> None:
    for name in (*scores.NAMES, "map@12", "f_beta@0.5", "top_accuracy@3", "max a.b:c", "min a:b"):
        assert contest(name).metric == name
    for name in ("map", "map@0", "map@x", "map@2.5", "f_beta@-1", "accuracy@3", "a:b", "max a", "mean a:b", ""):
        with pytest.raises(InputError, match=r"contest\.metric: .* is no metric"):
            contest(name)


def contest(metric: str) -> ContestSettings:
    return params.parse({"images": {"train": "a", "test": "b"}, "metric": metric}, "contest", ContestSettings)


def test_the_number_after_the_at_is_k_or_beta() -> None:
    targets, probs = np.array([0, 1, 2]), np.tile(np.array([0.5, 0.3, 0.2], np.float32), (3, 1))
    shares = {f"top_accuracy@{k}": k / 3 for k in (1, 2, 3)}
    shares |= {"map@1": 1 / 3, "map@2": (1 + 1 / 2) / 3, "map@3": (1 + 1 / 2 + 1 / 3) / 3}
    for name, share in shares.items():
        assert scores.named(name, "abc").function(targets, probs) == pytest.approx(share)
    targets, probs = noisy(5)
    f1, macro_f1 = (scores.named(name, FIVE).function(targets, probs) for name in ("f_beta@1", "macro_f1"))
    assert f1 == pytest.approx(macro_f1)


def brier(targets: np.ndarray, probs: np.ndarray, classes: tuple[str, ...]) -> float:
    assert classes == FIVE
    return float(((probs - np.eye(len(classes))[targets]) ** 2).sum(1).mean())


@pytest.mark.parametrize("direction", ["min", "max"])
def test_a_metric_of_ones_own_is_scored_compared_and_given_an_interval(direction: str) -> None:
    name = f"{direction} {__name__}:brier"
    metric = scores.named(name, FIVE)
    (targets, probs), (_, better) = noisy(5), noisy(5, strength=0.9)
    assert metric.function(targets, probs) == pytest.approx(brier(targets, probs, FIVE))
    assert scores.is_loss(name) == (direction == "min") == (metric.utility(targets, probs) < 0)
    groups = np.arange(300)
    low, high = intervals.score_interval(metric, targets, probs, groups)
    spread = ((probs - np.eye(5)[targets]) ** 2).sum(1).std() / 300**0.5
    assert high - low == pytest.approx(2 * 1.97 * spread, rel=0.2)
    assert low < metric.function(targets, probs) < high
    found = comparison.compare(metric, targets, base=probs, candidate=better, groups=groups)
    assert (found.in_metric.low > 0) == (direction == "min")
    assert (found.in_metric.high < 0) == (direction == "max")


@pytest.mark.parametrize("place", ["no_such_module:f", f"{__name__}:no_such_function"])
def test_a_metric_that_cannot_be_imported_is_an_error_that_names_the_key(place: str) -> None:
    with pytest.raises(InputError, match=r"contest\.metric: max .*no_such"):
        scores.named(f"max {place}", FIVE)


def of_two_arguments(targets: np.ndarray, probs: np.ndarray) -> float:
    return 1.0


def never_a_number(targets: np.ndarray, probs: np.ndarray, classes: tuple[str, ...]) -> float:
    return float("nan")


def of_all_classes(targets: np.ndarray, probs: np.ndarray, classes: tuple[str, ...]) -> float:
    if len(set(targets.tolist())) < len(classes):
        raise ValueError("a class is missing")
    return float(probs.max())


def nan_without_all_classes(targets: np.ndarray, probs: np.ndarray, classes: tuple[str, ...]) -> float:
    return float(probs.max()) if len(set(targets.ravel().tolist())) > 1 else float("nan")


def always_0(targets: np.ndarray, probs: np.ndarray, classes: tuple[str, ...]) -> float:
    assert targets.shape == probs.shape == (len(targets), len(classes))
    return 0.0


NO_FUNCTION = 3


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("of_two_arguments", "of_two_arguments fails: TypeError: .*2 positional"),
        ("never_a_number", "never_a_number returns nan"),
        ("of_all_classes", "a class is missing.*2 images.*return float..nan"),
        ("NO_FUNCTION", "NO_FUNCTION is no function"),
    ],
)
def test_a_metric_of_ones_own_is_tried_before_training(function: str, words: str) -> None:
    name = f"max {__name__}:{function}"
    with pytest.raises(InputError, match=words):
        own_metric.try_out(scores.named(name, FIVE), FIVE)


def test_a_metric_of_ones_own_may_be_undefined_where_classes_are_missing() -> None:
    for function, classes in (("nan_without_all_classes", FIVE), ("always_0", LabelNames("abc"))):
        own_metric.try_out(scores.named(f"max {__name__}:{function}", classes), classes)


def test_a_file_with_an_error_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "with_an_error.py").write_text("x = nothing\n")
    with pytest.raises(InputError, match=r"contest\.metric: max with_an_error:f: .*'nothing' is not defined"):
        scores.named("max with_an_error:f", FIVE)


def test_counts_of_many_weightings_are_those_of_each() -> None:
    targets, probs = noisy(5)
    weights = np.random.default_rng(0).integers(0, 3, (300, 4)).astype(np.float32)
    counts = label_scores.count(targets, probs.argmax(1), weights, 5)
    table = metrics.confusion_matrix(targets, probs.argmax(1), sample_weight=weights[:, 2])
    np.testing.assert_allclose(counts.hits[2], np.diag(table))
    np.testing.assert_allclose(counts.true[2], table.sum(1))
    np.testing.assert_allclose(counts.predicted[2], table.sum(0))


def test_a_weighting_without_positives_is_left_out_of_the_mean_over_classes() -> None:
    targets, probs = noisy(3)
    weights = np.ones((300, 2))
    weights[targets == 1, 1] = 0
    areas = rank_scores.one_against_rest(targets, probs, weights, rank_scores.ROC_AUC)
    here = targets != 1
    assert areas[1] == pytest.approx(scores.SCORES["roc_auc"].function(targets[here], probs[here]))


@pytest.mark.parametrize("curve", [rank_scores.ROC_AUC, rank_scores.AVERAGE_PRECISION], ids=["auc", "precision"])
@given(images=st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=30))
def test_one_image_one_vote_is_the_weighting_of_ones(
    curve: rank_scores.RankCurve, images: list[tuple[bool, int]]
) -> None:
    positive, score = (np.array(column) for column in zip(*images, strict=True))
    targets, probs = positive.astype(np.int64), np.column_stack([5 - score, score]) / np.float32(5)
    plain = rank_scores.one_against_rest(targets, probs, np.ones((len(score), 1)), curve)
    weighted = rank_scores.one_against_rest(targets, probs, np.ones((len(score), 2)), curve)
    np.testing.assert_allclose([plain[0], plain[0]], weighted, rtol=1e-12)


def test_certain_and_wrong_is_a_finite_loss() -> None:
    assert 30 < scores.log_loss(np.array([0, 1]), np.array([[0, 1], [0, 1]], np.float32)) * 2 < 40


@given(st.floats(0, 1), st.integers(1, 10_000))
def test_standard_error_is_the_binomials(accuracy: float, n: int) -> None:
    error = scores.accuracy_standard_error(accuracy, n)
    assert 0 <= error <= 0.5 / n**0.5 + 1e-12


@pytest.mark.parametrize("name", ["rmse", "mae"])
def test_losses_of_numbers_judge_the_expected_value(name: str) -> None:
    targets, probs = noisy(5)
    metric = BY_NAME[name]
    assert metric.utility(targets, np.eye(5)[targets]) == 0 > metric.utility(targets, probs)
    low, high = intervals.score_interval(metric, targets, probs, np.arange(300))
    assert low < metric.function(targets, probs) < high
    with pytest.raises(InputError, match="numbers, not cat"):
        scores.named(name, ["1", "cat"])
