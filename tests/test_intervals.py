import numpy as np
import pytest
from scipy import stats

from podium.scoring import intervals, scores

ACCURACY, LOG_LOSS, AUC = (scores.SCORES[name] for name in ("accuracy", "log_loss", "roc_auc"))


def alone(n: int) -> np.ndarray:
    return np.arange(n)


def probs_of(hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets and probabilities (images, 2) that are right where `hits`."""
    targets = np.arange(len(hits)) % 2
    answers = np.where(hits, targets, 1 - targets)
    return targets, np.eye(2, dtype=np.float32)[answers] * 0.8 + 0.1


def test_test_and_interval_of_a_mean_are_a_little_less_sure_than_students() -> None:
    """The same standard error, on the degrees of freedom of the images that carry the variance."""
    values = np.linspace(-1, 1, 41) + 0.15
    found = intervals.mean_evidence(values, alone(41))
    two_sided = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert two_sided.low - 0.02 < found.low < two_sided.low
    assert two_sided.high < found.high < two_sided.high + 0.02
    expected = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert expected < found.p_better < 1.3 * expected
    assert found.p_better + found.p_worse == pytest.approx(1)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.995])
@pytest.mark.parametrize("skew", [-1, 0, 1])
def test_an_interval_excludes_0_exactly_where_its_two_sided_test_rejects(level: float, skew: int) -> None:
    rejected = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values = (rng.exponential(size=50) - 1) * skew if skew else rng.normal(size=50)
        found = intervals.mean_evidence(values + (seed - 30) / 40, alone(50), level)
        excludes = found.low > 0 or found.high < 0
        assert excludes == (2 * min(found.p_better, found.p_worse) < 1 - level)
        rejected += excludes
    assert 0 < rejected < 60


@pytest.mark.parametrize("metric", [ACCURACY, LOG_LOSS, AUC])
def test_a_higher_level_makes_a_wider_interval(metric) -> None:
    rng = np.random.default_rng(0)
    targets, (base, candidate) = np.arange(90) % 2, rng.dirichlet((1, 1), (2, 90)).astype(np.float32)
    found = [
        intervals.score_evidence(metric, targets, base=base, candidate=candidate, groups=alone(90), level=level)
        for level in (0.9, 0.95, 0.99)
    ]
    assert found[0].low > found[1].low > found[2].low
    assert found[0].high < found[1].high < found[2].high
    assert len({(one.difference, one.p_better) for one in found}) == 1


@pytest.mark.parametrize(
    "name", ["accuracy", "balanced_accuracy", "macro_f1", "mcc", "kappa", "roc_auc", "average_precision"]
)
@pytest.mark.parametrize("n_groups", [1, 2, 3, 10])
def test_groups_that_all_say_the_same_are_tosses_of_a_coin(name: str, n_groups: int) -> None:
    """Their bootstrap scores differ by rounding errors only, so a sign test replaces the standard error of 0."""
    targets, groups = np.tile([0, 0, 1, 1, 2, 2, 0], n_groups), np.repeat(np.arange(n_groups), 7)
    right = np.eye(3, dtype=np.float32)[targets] * 0.8 + np.float32(0.2 / 3)
    answers = []
    for wrong in ([1, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0]):
        moved = np.tile(np.array(wrong, bool), n_groups)
        answers.append(np.where(moved[:, None], np.roll(right, 1, axis=1), right))
    metric = scores.named(name, ["a", "b", "c"])
    found = intervals.score_evidence(metric, targets, base=answers[1], candidate=answers[0], groups=groups)
    assert found.p_better == 0.5**n_groups
    assert (found.low > 0) == (n_groups == 10)
    assert found.low < found.difference < found.high
    again = intervals.score_evidence(
        metric, targets, base=answers[0], candidate=answers[0] * 0.9 + 0.1 / 3, groups=groups
    )
    assert again.p_better == again.p_worse == 1
    order = np.random.default_rng(0).permutation(len(targets))
    ends = intervals.score_interval(metric, targets, answers[0], groups)
    shuffled = intervals.score_interval(metric, targets[order], answers[0][order], groups[order])
    np.testing.assert_allclose(ends, shuffled, atol=1e-6)
    one_image_each = intervals.score_interval(metric, targets, answers[0], np.arange(len(targets)))
    assert ends[1] - ends[0] > one_image_each[1] - one_image_each[0]


def signs_swapped(values: np.ndarray) -> float:
    """The exact chance of so high a mean if each value's sign were a coin's."""
    moved = values[values != 0]
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(moved))).reshape(len(moved), -1)
    return float(((moved @ signs) >= moved.sum() - 1e-12).mean())


@pytest.mark.parametrize("few", [[1, 1, 1], [1, 1, 1, 1], [1, 2, 3], [1, 1, 1, 1, 1, -1], [5, 1, 1, 1]])
def test_a_few_images_that_make_all_the_difference_are_few(few: list[float]) -> None:
    """Three of 200 images that gain have a chance of one in eight to do so."""
    values = np.concatenate([np.zeros(200 - len(few)), np.array(few, float)])
    assert signs_swapped(values) > 0.05
    assert intervals.mean_evidence(values, alone(200)).p_better > 0.05


def test_a_mean_of_nothing_is_seldom_found_better() -> None:
    """Symmetric, with heavy tails, as differences between exchangeable candidates are."""
    found = [
        intervals.mean_evidence(rng.standard_t(2, 200) * (rng.random(200) < 0.1), alone(200)).p_better < 0.05
        for rng in map(np.random.default_rng, range(1000))
    ]
    assert np.mean(found) < 0.06


def test_images_of_a_group_count_once() -> None:
    values = np.random.default_rng(0).normal(0.2, 1, 60)
    single = intervals.mean_evidence(values, alone(60))
    repeated = intervals.mean_evidence(np.repeat(values, 5), np.repeat(alone(60), 5))
    assert repeated.p_better == pytest.approx(single.p_better)
    assert (repeated.low, repeated.high) == pytest.approx((single.low, single.high))
    assert intervals.mean_evidence(np.repeat(values, 5), alone(300)).p_better < single.p_better


@pytest.mark.parametrize("skewed", [lambda rng: rng.exponential(size=60), lambda rng: rng.gamma(0.3, size=200)])
def test_intervals_of_skewed_means_cover(skewed) -> None:
    truth = np.mean([skewed(np.random.default_rng(i)).mean() for i in range(3000, 5000)])
    covered = 0
    for seed in range(800):
        found = intervals.mean_evidence(values := skewed(np.random.default_rng(seed)), alone(len(values)))
        covered += found.low <= truth <= found.high
    assert 0.94 < covered / 800 < 0.999  # the less sure of two intervals


def test_groups_that_differ_alike_are_tosses_of_a_coin() -> None:
    assert intervals.mean_evidence(np.zeros(10), alone(10)) == intervals.NOTHING
    found = intervals.mean_evidence(np.full(10, 0.1), alone(10))
    assert found.p_better == pytest.approx(0.5**10)
    assert found.p_worse == 1
    assert 0 < found.low < 0.1 < found.high < 0.2
    one_group = intervals.mean_evidence(np.arange(10.0), np.zeros(10, int))
    assert one_group.p_better == 0.5
    assert one_group.low <= 0 < one_group.high < np.inf


@pytest.mark.parametrize("name", ["kappa", "mcc", "balanced_accuracy", "roc_auc"])
def test_from_nothing_to_perfect_is_a_gain_whatever_the_metric(name: str) -> None:
    targets, perfect = probs_of(np.full(100, True))
    blind = np.tile(np.array([0.6, 0.4], np.float32), (100, 1))
    found = intervals.score_evidence(scores.SCORES[name], targets, base=blind, candidate=perfect, groups=alone(100))
    assert found.p_better < 0.001
    assert found.p_worse > 0.999
    assert 0 < found.low < found.difference < found.high < 2


def test_equal_losses_have_a_finite_interval() -> None:
    targets, perfect = probs_of(np.full(100, True))
    for probs in (np.round(perfect), perfect, np.full_like(perfect, 0.5), 1 - np.round(perfect)):
        low, high = intervals.score_interval(LOG_LOSS, targets, probs, alone(100))
        loss = scores.log_loss(targets, probs)
        assert 0 <= low <= loss + 1e-9
        assert loss - 1e-9 <= high <= scores.WORST_LOSS + 1e-9
        assert low < high


@pytest.mark.parametrize(("n", "few", "recall"), [(300, 10, 0.9), (300, 5, 0.9), (690, 10, 0.8)])
def test_intervals_of_a_balanced_accuracy_cover_where_a_class_is_rare(n: int, few: int, recall: float) -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1], [n, few])
    covered = 0
    for _ in range(200):
        right = rng.random(n + few) < np.where(targets == 1, recall, 0.9)
        probs = np.eye(2, dtype=np.float32)[np.where(right, targets, 1 - targets)] * 0.8 + 0.1
        low, high = intervals.score_interval(scores.SCORES["balanced_accuracy"], targets, probs, alone(n + few))
        covered += low <= (0.9 + recall) / 2 <= high
    assert covered >= 0.92 * 200


@pytest.mark.parametrize("few", [5, 10])
def test_intervals_of_an_auc_cover_where_a_class_is_rare(few: int) -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1], [400, few])
    covered = 0
    for _ in range(200):
        likelihood = stats.norm.cdf(rng.normal(size=400 + few) + 2 * targets)
        probs = np.column_stack([1 - likelihood, likelihood]).astype(np.float32)
        low, high = intervals.score_interval(AUC, targets, probs, alone(400 + few))
        covered += low <= stats.norm.cdf(2**0.5) <= high
    assert covered >= 0.92 * 200


@pytest.mark.parametrize("metric", [AUC, scores.SCORES["macro_f1"]])
def test_a_bootstrap_of_a_score_sees_what_is_better(metric) -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 300)
    weak = rng.dirichlet((1, 1), 300)
    better = (0.5 * weak + 0.5 * np.eye(2)[targets]).astype(np.float32)
    found = intervals.score_evidence(metric, targets, base=weak, candidate=better, groups=alone(300))
    assert found.p_better < 0.001
    assert found.low > 0
    back = intervals.score_evidence(metric, targets, base=better, candidate=weak, groups=alone(300))
    assert back.p_worse == pytest.approx(found.p_better)
    assert back.difference == pytest.approx(-found.difference)


def test_joined_groups_join_what_any_grouping_joins() -> None:
    found = intervals.joined_groups(["a", "a", "b", "", ""], ["x", "y", "y", "", "z"])
    assert found.tolist() == [0, 0, 0, 1, 2]
    assert intervals.joined_groups(["", ""]).tolist() == [0, 1]
    chain = [str(k // 2) for k in range(40)], [str((k + 1) // 2) for k in range(40)]
    assert set(intervals.joined_groups(*chain)) == {0}


def test_the_spread_over_runs_is_added_to_that_over_images() -> None:
    """With no spread over runs nothing changes; with a large one only the runs count."""
    values = np.random.default_rng(0).normal(0.3, 1, 100)
    plain = intervals.mean_evidence(values, alone(100))
    assert intervals.mean_evidence(values, alone(100), of_runs=np.full(3, values.mean())) == plain
    of_runs = values.mean() + np.array([-10, 0, 10])
    found = intervals.mean_evidence(values, alone(100), of_runs=of_runs)
    expected = stats.ttest_1samp(of_runs, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.01)
    between = intervals.mean_evidence(values, alone(100), of_runs=values.mean() + np.array([-0.1, 0, 0.1]))
    assert found.low < between.low < plain.low
    assert plain.p_better < between.p_better < found.p_better


def test_groups_are_drawn_whole_as_often_as_there_are_groups_and_the_same_each_time() -> None:
    groups = np.array([5, 2, 2, 9, 5, 5])
    draws = intervals.group_draws(groups)
    assert (draws == np.round(draws)).all()
    assert (draws[0] == draws[4]).all()
    assert (draws[1] == draws[2]).all()
    assert (draws[[0, 1, 3]].sum(0) == 3).all()
    draws[:] = 0
    assert intervals.group_draws(groups).any()


def test_a_bootstraps_spread_is_the_accuracys_standard_error() -> None:
    hits = np.random.default_rng(0).random(400) < 0.8
    targets, probs = probs_of(hits)
    drawn = ACCURACY.weighted(targets, probs, intervals.group_draws(alone(400)))
    assert drawn.std() == pytest.approx(np.sqrt(hits.mean() * (1 - hits.mean()) / 400), rel=0.15)


@pytest.mark.parametrize("share", [0, 1])
def test_all_right_and_all_wrong_have_an_interval_of_the_rule_of_three(share: int) -> None:
    targets, probs = probs_of(np.full(200, bool(share)))
    low, high = intervals.score_interval(ACCURACY, targets, probs, alone(200))
    assert low <= share <= high
    assert high - low == pytest.approx(3.84 / 200, rel=0.1)
    low, high = intervals.score_interval(ACCURACY, targets, probs, alone(200) // 10)
    assert high - low == pytest.approx(3.84 / 20, rel=0.2)


@pytest.mark.parametrize("name", [name for name, one in scores.SCORES.items() if name != "pf1" and not one.is_log_loss])
def test_a_perfect_score_of_any_metric_has_a_lower_end(name: str) -> None:
    targets, probs = probs_of(np.full(100, True))
    low, high = intervals.score_interval(scores.SCORES[name], targets, probs, alone(100))
    assert 0.85 < low < 1
    assert high == pytest.approx(1)


@pytest.mark.parametrize("name", list(scores.SCORES))
@pytest.mark.parametrize("size", [1, 4])
def test_an_interval_holds_the_score_and_widens_with_groups(name: str, size: int) -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat(rng.integers(0, 2, 100), 4)
    probs = 0.5 * np.repeat(rng.dirichlet((1, 1), 100), 4, axis=0) + 0.5 * np.eye(2)[targets] * rng.random((400, 1))
    probs = (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)
    metric = scores.SCORES[name]
    low, high = intervals.score_interval(metric, targets, probs, alone(400) // size)
    assert low < metric.function(targets, probs) < high
    if size == 1:
        wider = intervals.score_interval(metric, targets, probs, alone(400) // 4)
        assert wider[1] - wider[0] > high - low


@pytest.mark.parametrize(("n_groups", "size", "accuracy"), [(200, 1, 0.985), (200, 1, 0.8), (50, 4, 0.97)])
def test_intervals_of_an_accuracy_cover(n_groups: int, size: int, accuracy: float) -> None:
    """In groups, half of the errors hit all images of a group."""
    covered = 0
    for seed in range(500):
        rng = np.random.default_rng(seed)
        whole = np.repeat(rng.random(n_groups) < (1 - accuracy) / 2, size)
        single = rng.random(n_groups * size) < (1 - accuracy) / 2
        wrong = whole | single if size > 1 else rng.random(n_groups) < 1 - accuracy
        truth = (1 - (1 - accuracy) / 2) ** 2 if size > 1 else accuracy
        targets, probs = probs_of(~wrong)
        low, high = intervals.score_interval(ACCURACY, targets, probs, np.repeat(alone(n_groups), size))
        covered += low <= truth <= high
    assert 0.92 <= covered / 500 <= 0.99


def test_two_predictions_with_the_same_labels_may_still_differ() -> None:
    targets = np.arange(60) % 2
    sure = np.where(targets[:, None] == np.arange(2), 0.9, 0.1).astype(np.float32)
    less = np.where(targets[:, None] == np.arange(2), 0.8, 0.2).astype(np.float32)
    for groups, n in ((np.arange(60), 60), (np.arange(60) // 3, 20)):
        found = intervals.score_evidence(scores.SCORES["accuracy"], targets, base=less, candidate=sure, groups=groups)
        assert (found.low, found.difference, found.high) == pytest.approx((-3 / n, 0, 3 / n))
        assert found.p_better == found.p_worse == 1


def test_two_rankings_without_an_error_may_still_differ() -> None:
    targets, sure = probs_of(np.full(60, True))
    other = sure**2 / (sure**2).sum(axis=1, keepdims=True)
    found = intervals.score_evidence(AUC, targets, base=sure, candidate=other, groups=alone(60))
    assert (found.low, found.difference, found.high) == pytest.approx((-0.05, 0, 0.05))


@pytest.mark.parametrize("name", list(scores.SCORES))
def test_predictions_that_differ_by_rounding_alone_are_the_same(name: str) -> None:
    rng, metric = np.random.default_rng(0), scores.SCORES[name]
    targets, base = np.arange(90) % 3, rng.dirichlet([0.1, 1, 1], 90).astype(np.float32)
    base[:2] = np.float32(1 / 3)  # a tie, which rounding breaks
    rounded = base * (1 + rng.choice([-1e-6, 1e-6], base.shape)).astype(np.float32)
    changed = base * (1 + rng.choice([-1e-3, 1e-3], base.shape)).astype(np.float32)
    how = intervals.score_evidence
    assert how(metric, targets, base=base, candidate=rounded, groups=alone(90)) == intervals.NOTHING
    assert how(metric, targets, base=base, candidate=changed, groups=alone(90)) != intervals.NOTHING


def test_a_loss_of_a_billionth_is_no_rounding() -> None:
    targets = np.arange(100) % 2
    hard = np.eye(2, dtype=np.float32)[np.where(np.arange(100) < 2, 1 - targets, targets)]
    soft = np.clip(hard, 1e-9, 1 - 1e-9)
    found = intervals.score_evidence(LOG_LOSS, targets, base=hard, candidate=soft, groups=alone(100))
    assert found.difference == pytest.approx(scores.log_loss(targets, hard) - scores.log_loss(targets, soft))
    assert found.difference > 0.3


def test_the_ranks_of_small_probabilities_are_no_rounding() -> None:
    targets = (np.arange(100) < 10).astype(np.int64)
    small = np.where(targets, 2e-6, 1e-6).astype(np.float32)
    base, candidate = (np.column_stack([1 - one, one]) for one in (small[::-1], small))
    assert intervals.score_evidence(AUC, targets, base=base, candidate=candidate, groups=alone(100)).p_better < 0.001


UNEQUAL = np.repeat(np.arange(6), [1, 2, 3, 5, 8, 40])


def test_the_error_of_a_mean_is_that_of_leaving_out_each_group() -> None:
    values = np.random.default_rng(0).normal(size=len(UNEQUAL)) + UNEQUAL / 5
    without = np.array([values[group != UNEQUAL].mean() for group in range(6)])
    expected = np.sqrt(5 / 6 * ((without - values.mean()) ** 2).sum())
    assert intervals._Mean.of(values, UNEQUAL).error == pytest.approx(expected)


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
def test_degrees_of_freedom_are_those_of_the_jackknife_variance(correlation: float) -> None:
    """Against Satterthwaite's formula with all matrices written out."""
    sizes = np.bincount(UNEQUAL)
    share = sizes / sizes.sum()
    residuals = np.eye(6) - np.outer(share, np.ones(6))
    variance = np.diag(sizes * (1 + correlation * (sizes - 1)))
    product = residuals.T @ np.diag(1 / (1 - share) ** 2) @ residuals @ variance
    expected = np.trace(product) ** 2 / np.trace(product @ product)
    assert intervals._freedom(sizes, correlation) == pytest.approx(max(expected, 1))
    assert intervals._freedom(np.full(6, 4), correlation) == 5


def test_images_of_a_group_that_stand_and_fall_together_correlate_and_others_do_not() -> None:
    rng = np.random.default_rng(0)
    for values, low, high in (
        (rng.normal(size=60)[np.arange(300) // 5], 0.99, 1),
        (rng.normal(size=300), 0, 0.1),
    ):
        deviations, groups = values - values.mean(), np.arange(300) // 5
        sums, squares = np.bincount(groups, deviations), float((deviations**2).sum())
        assert low <= intervals._correlation(sums, np.bincount(groups), squares) <= high
    assert intervals._correlation(np.ones(3), np.ones(3, int), 3.0) == 0


@pytest.mark.parametrize("name", ["accuracy", "log_loss", "macro_f1"])
def test_unequal_groups_make_an_interval_wider(name: str) -> None:
    """As many groups and images, each group all right or all wrong; a group of half the images makes it wider."""
    widths = []
    for sizes in ([10] * 20, [100] + [5] * 18 + [10]):
        groups = np.repeat(alone(20), sizes)
        targets, probs = probs_of((groups % 5) > 0)
        low, high = intervals.score_interval(scores.METRICS[name], targets, probs, groups)
        assert 0 <= low < high
        widths.append(high - low)
    assert widths[1] > 1.2 * widths[0]


def test_one_large_group_costs_little_where_its_images_do_not_stand_and_fall_together() -> None:
    targets, probs = probs_of(np.random.default_rng(0).random(500) < 0.9)
    widths = [
        np.diff(intervals.score_interval(ACCURACY, targets, probs, groups))[0]
        for groups in (alone(500), np.maximum(alone(500) - 49, 0))
    ]
    assert widths[1] < 1.2 * widths[0]


def test_an_interval_of_unequal_groups_stays_within_bounds() -> None:
    targets, probs = probs_of(UNEQUAL > 0)
    for name in scores.SCORES:
        low, high = intervals.score_interval(scores.SCORES[name], targets, probs, UNEQUAL)
        assert low < scores.SCORES[name].function(targets, probs) < high <= scores.WORST_LOSS
    hard = np.round(probs)
    assert intervals.score_interval(LOG_LOSS, targets, hard, UNEQUAL)[1] <= scores.WORST_LOSS
    low, high = intervals.score_interval(ACCURACY, targets, probs_of(UNEQUAL >= 0)[1], UNEQUAL)
    assert 0 < low < high == 1


@pytest.mark.parametrize(("name", "at_least"), [("accuracy", 0.92), ("log_loss", 0.91)])
def test_intervals_cover_where_groups_are_unequal(name: str, at_least: float) -> None:
    """30 groups of log-normal size; half of the noise is a group's."""
    metric, found = scores.METRICS[name], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        groups = np.repeat(alone(30), np.ceil(rng.lognormal(2, 1, 30)).astype(int))
        logits = 1.2 + rng.normal(size=30)[groups] + rng.normal(size=len(groups))
        likelihood = (1 / (1 + np.exp(-logits))).astype(np.float32)
        targets, probs = np.ones(len(groups), int), np.column_stack([1 - likelihood, likelihood])
        found.append(intervals.score_interval(metric, targets, probs, groups))
    single = 1.2 + np.sqrt(2) * np.random.default_rng(0).normal(size=200_000)
    truth = (single > 0).mean() if name == "accuracy" else np.log1p(np.exp(-single)).mean()
    covered = sum(low <= truth <= high for low, high in found)
    assert at_least <= covered / 300 <= 0.995


def test_a_difference_between_few_unequal_groups_is_less_sure() -> None:
    """One group of half of the images."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.5, 1, 200)
    equal = intervals.mean_evidence(values, alone(200) // 10)
    unequal = intervals.mean_evidence(values, np.maximum(alone(200) - 100, 0) // 6)
    assert unequal.p_better > equal.p_better
    assert unequal.high - unequal.low > equal.high - equal.low
