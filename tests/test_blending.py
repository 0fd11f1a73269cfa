import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from podium.ensembling import blending
from podium.ensembling.blending import BlendSizes, Fitting
from podium.ensembling.method_registry import METHODS
from podium.ensembling.methods import equal, greedy, logits, ranks, stacking, weighted
from podium.predictions import calibration
from podium.scoring import scores

ACCURACY = scores.SCORES["accuracy"].utility
LOG_LOSS = scores.SCORES["log_loss"].utility


def simulated(seed: int, n_members: int = 4, n: int = 200, n_classes: int = 3, skill: float = 0.4):
    """Members (members, images, classes) that know the targets a little, each with errors of its own."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, n_classes, n)
    noise = rng.dirichlet(np.ones(n_classes), (n_members, n))
    return ((1 - skill) * noise + skill * np.eye(n_classes)[targets]).astype(np.float32), targets


def climbed(probs: np.ndarray, fitting: Fitting) -> np.ndarray:
    own = probs[:, np.arange(len(fitting.targets)), fitting.targets].astype(float)
    return greedy.climb(own if fitting.utility is None else probs, fitting.targets, fitting)


def loss_of(weights: np.ndarray, probs: np.ndarray, targets: np.ndarray) -> float:
    return scores.log_loss(targets, np.tensordot(weights, probs, 1).astype(np.float32))


@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), n_members=st.integers(1, 5), n_classes=st.integers(2, 4))
def test_blends_are_probabilities_and_weights_shares(name: str, seed: int, n_members: int, n_classes: int) -> None:
    probs, targets = simulated(seed, n_members, n=40, n_classes=n_classes)
    blend = METHODS[name].fit(probs, Fitting(targets, ACCURACY, 5))
    blended = blending.blended(blend, probs)
    assert blended.dtype == np.float32
    assert (blended >= 0).all()
    np.testing.assert_allclose(blended.sum(axis=1), 1, atol=1e-5)
    if blend.weights is not None:
        assert blend.weights.shape == (n_members,)
        assert (blend.weights >= 0).all()
        assert blend.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", METHODS)
def test_members_may_come_one_at_a_time_and_twice_gives_the_same(name: str) -> None:
    probs, targets = simulated(1)
    first, second = (METHODS[name].fit(probs, Fitting(targets)) for _ in range(2))
    together = blending.blended(first, list(probs))
    np.testing.assert_array_equal(together, blending.blended(second, iter(probs)))


def test_the_equal_blend_is_the_mean_and_the_logit_blend_the_mean_of_logs() -> None:
    probs, targets = simulated(2)
    mean = blending.blended(equal.fit(probs, Fitting(targets)), probs)
    np.testing.assert_allclose(mean, probs.mean(axis=0), atol=1e-6)
    geometric = blending.blended(logits.fit(probs, Fitting(targets)), probs)
    expected = np.exp(np.log(probs.astype(float)).mean(axis=0))
    np.testing.assert_allclose(geometric, expected / expected.sum(axis=1, keepdims=True), atol=1e-5)


def test_ranks_are_those_among_the_fitted_images_and_see_no_confidence() -> None:
    probs, targets = simulated(3, n_classes=2)
    found = blending.blended(ranks.fit(probs, Fitting(targets)), probs)
    own = [(stats.rankdata(member, axis=0) - 0.5) / len(targets) for member in probs]
    np.testing.assert_allclose(found, np.mean(own, axis=0), atol=1e-6)
    sharper = calibration.scaled(calibration.log_probs(probs.reshape(-1, 2)), 0.3).reshape(probs.shape)
    np.testing.assert_allclose(blending.blended(ranks.fit(sharper, Fitting(targets)), sharper), found, atol=0.01)


def test_an_images_rank_does_not_depend_on_the_images_it_is_predicted_with() -> None:
    probs, targets = simulated(3)
    blend = ranks.fit(probs[:, :150], Fitting(targets[:150]))
    together = blending.blended(blend, probs[:, 150:])
    np.testing.assert_array_equal(together[7:8], blending.blended(blend, probs[:, 157:158]))


def test_ranks_keep_the_order_of_images_outside_the_fitted_range_and_of_many_images() -> None:
    fitted = np.linspace(0.4, 0.6, 5000)
    probs = np.stack([1 - fitted, fitted], axis=1)[None].astype(np.float32)
    blend = ranks.fit(probs, Fitting(np.arange(5000) % 2))
    new = np.array([0.0, 0.1, 0.3, 0.41, 0.5, 0.59, 0.7, 0.9, 1.0])
    found = blending.blended(blend, np.stack([1 - new, new], axis=1)[None].astype(np.float32))[:, 1]
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(found[3:6], [0.05, 0.5, 0.95], atol=0.001)


@pytest.mark.parametrize("utility", [ACCURACY, LOG_LOSS, None])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), rounds=st.integers(1, 12))
def test_a_climb_is_never_below_the_best_single_member_on_what_it_selects(utility, seed: int, rounds: int) -> None:
    probs, targets = simulated(seed)
    weights = climbed(probs, Fitting(targets, utility, rounds))
    blend, judge = np.tensordot(weights, probs, 1).astype(np.float32), utility or LOG_LOSS
    assert judge(targets, blend) >= max(judge(targets, member) for member in probs) - 1e-5


def test_a_climb_by_log_loss_is_one_by_the_metric_log_loss() -> None:
    probs, targets = simulated(4, n_members=6)
    climbs = [climbed(probs, Fitting(targets, utility, 12)) for utility in (None, LOG_LOSS)]
    np.testing.assert_allclose(*climbs)


def test_a_climb_is_never_worse_with_more_rounds() -> None:
    probs, targets = simulated(3)
    reached = [loss_of(climbed(probs, Fitting(targets, None, rounds)), probs, targets) for rounds in (1, 3, 10, 20)]
    assert reached == sorted(reached, reverse=True)


def test_a_climb_gives_ties_to_the_first_member_and_the_fewest_picks() -> None:
    probs, targets = simulated(0, n_members=1)
    assert list(climbed(np.repeat(probs, 3, axis=0), Fitting(targets, ACCURACY, 10))) == [1, 0, 0]


def with_a_harmful_one(n_members: int = 4) -> tuple[np.ndarray, np.ndarray]:
    probs, targets = simulated(0, n_members)
    harmful = (0.9 * np.roll(np.eye(3, dtype=np.float32)[targets], 1, axis=1) + 0.1 / 3).astype(np.float32)
    return np.stack([harmful, *probs]), targets


@pytest.mark.parametrize("name", ["greedy", "weighted"])
def test_a_member_that_only_harms_is_left_out(name: str) -> None:
    probs, targets = with_a_harmful_one()
    weights = METHODS[name].fit(probs, Fitting(targets)).weights
    assert weights[0] < 0.01


def test_stacking_makes_use_of_a_member_that_is_wrong_in_a_regular_way() -> None:
    probs, targets = with_a_harmful_one()
    found = blending.blended(stacking.fit(probs, Fitting(targets)), probs)
    assert scores.accuracy_score(targets, found) > 0.98


def test_stacking_survives_a_class_without_images() -> None:
    probs, targets = simulated(0)
    few = targets != 2
    blend = stacking.fit(probs[:, few], Fitting(targets[few]))
    found = blending.blended(blend, probs)
    assert np.isfinite(found).all()
    assert (found[:, 2] < 0.01).all()
    assert scores.accuracy_score(targets[few], found[few]) > 0.7


def test_weights_are_those_of_a_general_search() -> None:
    probs, targets = simulated(5, n_members=3, skill=0.1)
    probs[0] = 0.5 * probs[0] + 0.5 * np.eye(3)[targets]
    found = weighted.fit(probs, Fitting(targets)).weights

    def penalised(free: np.ndarray) -> float:
        weights = np.exp(free) / np.exp(free).sum()
        away = ((weights - 1 / 3) ** 2).sum()
        return len(targets) * loss_of(weights, probs, targets) + weighted.SHRINKAGE * 3 / 2 * away

    best = optimize.minimize(penalised, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-6}).x
    np.testing.assert_allclose(found, np.exp(best) / np.exp(best).sum(), atol=0.01)


def test_few_images_leave_weights_near_equal_and_many_do_not() -> None:
    probs, targets = simulated(6, n_members=3, n=3000, skill=0.1)
    probs[0] = 0.8 * probs[0] + 0.2 * np.eye(3)[targets]
    few, many = (weighted.fit(probs[:, :n], Fitting(targets[:n])).weights[0] for n in (15, 3000))
    assert 1 / 3 <= few < 0.6 < many


def test_what_cannot_be_used_says_why() -> None:
    sizes = {"n_members": 2, "n_classes": 3}
    assert "metrics of ranks" in METHODS["ranks"].unusable(BlendSizes(of_ranks=False, **sizes))
    assert not METHODS["ranks"].unusable(BlendSizes(of_ranks=True, **sizes))
    assert "more than 500 features" in METHODS["stacking"].unusable(
        BlendSizes(of_ranks=False, n_members=2, n_classes=1000)
    )
    assert not any(METHODS[name].unusable(BlendSizes(of_ranks=True, **sizes)) for name in METHODS)


def test_no_members_are_refused() -> None:
    with pytest.raises(ValueError, match="no members"):
        blending.blended(blending.LinearBlend(np.ones(1)), [])


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_greedy_selection_sees_a_rare_class_among_many_images(name: str) -> None:
    rng = np.random.default_rng(0)
    targets = np.zeros(20_000, np.int64)
    targets[rng.choice(20_000, 6, replace=False)] = 1
    likelihood = rng.random((3, 20_000)) / 2
    likelihood[1, targets == 1] += 0.5  # knows the class
    probs = np.stack([1 - likelihood, likelihood], axis=2).astype(np.float32)
    weights = greedy.fit(probs, Fitting(targets, scores.SCORES[name].utility, 3)).weights
    assert weights is not None
    assert weights[1] == max(weights) > 0.5
