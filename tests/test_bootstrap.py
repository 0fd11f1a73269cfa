import numpy as np
import pytest
from scipy import stats

from podium.scoring import bootstrap, scores

ACCURACY, LOG_LOSS = scores.SCORES["accuracy"], scores.SCORES["log_loss"]


def right_or_wrong(targets: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.eye(2, dtype=np.float32)[np.where(right, targets, 1 - targets)] * 0.8 + 0.1


def two(n: int, only_first: int, only_second: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets and two predictions that are right on all images but those counted."""
    targets = np.arange(n) % 2
    number = np.arange(n)
    second_wrong, first_wrong = number < only_first, (number >= only_first) & (number < only_first + only_second)
    return targets, right_or_wrong(targets, ~first_wrong), right_or_wrong(targets, ~second_wrong)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 4), (0, 6), (3, 12), (10, 14), (0, 0)])
def test_the_p_value_of_accuracy_is_mcnemars_exact_test(only_first: int, only_second: int) -> None:
    found = bootstrap.paired(ACCURACY, *two(100, only_first, only_second), np.arange(100), replicates=4000)
    n = only_first + only_second
    exact = stats.binomtest(only_first, n).pvalue if n else 1
    assert found.p_value == pytest.approx(exact, abs=0.02)
    assert found.value == pytest.approx((only_second - only_first) / 100)
    assert found.supported == (exact < 0.05)


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "roc_auc", "average_precision"])
def test_two_predictions_that_agree_are_not_known_to_be_equal(name: str) -> None:
    targets, first, _ = two(200, 0, 0)
    found = bootstrap.paired(scores.SCORES[name], targets, first, (first + 0.1) / 1.2, np.arange(200))
    assert found.value == 0
    assert -0.015 < found.low < -0.005
    assert 0.005 < found.high < 0.015


@pytest.mark.parametrize("name", list(scores.SCORES))
def test_predictions_that_differ_by_rounding_alone_are_the_same(name: str) -> None:
    targets, first, _ = two(200, 3, 0)
    rounded = first * (1 + np.random.default_rng(0).choice([-1e-6, 1e-6], first.shape)).astype(np.float32)
    assert bootstrap.paired(scores.SCORES[name], targets, first, rounded, np.arange(200)) == bootstrap.NOTHING
    lost = scores.log_losses(targets, rounded) - scores.log_losses(targets, first)
    assert bootstrap.paired_mean(lost, np.arange(200), of_hits=False) == bootstrap.NOTHING
    assert bootstrap.paired_mean(np.zeros(200), np.arange(200), of_hits=True) != bootstrap.NOTHING


def test_intervals_cover_the_true_difference() -> None:
    """95% of intervals do, with clusters whose images share their answers, and without."""
    rng = np.random.default_rng(0)
    inside = []
    for n_clusters, size in ((150, 1), (60, 4)) * 75:
        draws = rng.choice(3, n_clusters, p=[0.85, 0.1, 0.05])  # neither, only the second, only the first
        kinds = np.repeat(draws, size)
        targets = np.arange(len(kinds)) % 2
        first, second = right_or_wrong(targets, kinds != 1), right_or_wrong(targets, kinds != 2)
        found = bootstrap.paired(
            ACCURACY, targets, first, second, np.repeat(np.arange(n_clusters), size), replicates=200
        )
        inside.append(found.low <= 0.05 <= found.high)
    assert 0.9 <= np.mean(inside) <= 0.99


def test_the_randomization_test_errs_in_5_percent_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(200):
        targets = rng.integers(0, 3, 60)
        first, second = (rng.dirichlet(np.ones(3), 60) for _ in "ab")
        metric = scores.SCORES["macro_f1"]
        p_values.append(bootstrap.paired(metric, targets, first, second, np.arange(60) // 2, replicates=100).p_value)
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09


@pytest.mark.parametrize("metric", [scores.named(name, "01") for name in scores.NAMES], ids=lambda m: m.name)
def test_every_metric_sees_which_is_better(metric: scores.Metric) -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 400)
    second, first = (
        right_or_wrong(targets, rng.random(400) < share) * rng.uniform(0.9, 1, (400, 1)) for share in (0.9, 0.7)
    )
    first, second = (probs / probs.sum(1, keepdims=True) for probs in (first, second))
    found = bootstrap.paired(metric, targets, first, second, np.arange(400), replicates=200)
    assert (found.value > 0) == metric.greater_is_better
    assert found.supported
    assert found.low < found.value < found.high
    turned = bootstrap.paired(metric, targets, second, first, np.arange(400), replicates=200)
    assert turned.value == pytest.approx(-found.value)
    assert turned.p_value == pytest.approx(found.p_value)


def test_images_that_stand_and_fall_together_count_once() -> None:
    targets, first, second = two(40, 0, 8)
    alone = bootstrap.paired(ACCURACY, targets, first, second, np.arange(40))
    together = bootstrap.paired(ACCURACY, targets, first, second, np.arange(40) // 8)
    assert alone.supported
    assert not together.supported
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_a_class_that_a_replicate_lacks_is_no_obstacle() -> None:
    targets = np.array([0] * 30 + [1])
    probs = np.linspace(0.1, 0.9, 31)
    first = np.stack([1 - probs, probs], 1)
    found = bootstrap.paired(scores.SCORES["roc_auc"], targets, first, first[::-1], np.arange(31))
    assert np.isfinite([found.low, found.high, found.p_value]).all()


def test_same_inputs_same_numbers() -> None:
    assert bootstrap.paired(LOG_LOSS, *two(50, 2, 5), np.arange(50)) == bootstrap.paired(
        LOG_LOSS, *two(50, 2, 5), np.arange(50)
    )


def test_clusters_join_what_any_grouping_joins() -> None:
    found = bootstrap.clusters(["a", "a", "b", "", ""], ["x", "y", "y", "", "z"])
    assert found.tolist() == [0, 0, 0, 1, 2]
    assert bootstrap.clusters(["", ""]).tolist() == [0, 1]


def test_holm_by_hand() -> None:
    assert bootstrap.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert bootstrap.holm([0.6, 0.5]) == [1, 1]
    assert bootstrap.holm([]) == []
