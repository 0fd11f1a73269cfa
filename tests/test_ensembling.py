from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.lib import ensembling, scores

ACCURACY = scores.SCORES["accuracy"].utility
LOG_LOSS = scores.SCORES["log_loss"].utility


def simulated(seed: int, n_members: int = 4, n: int = 200, n_classes: int = 3, skill: float = 0.4):
    """Members (members, images, classes) that know the targets a little, each with errors of its own."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, n_classes, n)
    noise = rng.dirichlet(np.ones(n_classes), (n_members, n))
    return ((1 - skill) * noise + skill * np.eye(n_classes)[targets]).astype(np.float32), targets


@pytest.mark.parametrize("name", ensembling.METHODS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), n_members=st.integers(1, 5))
def test_weights_are_shares_and_blends_are_probabilities(name: str, seed: int, n_members: int) -> None:
    probs, targets = simulated(seed, n_members, n=40)
    weights = ensembling.METHODS[name](probs, targets, ACCURACY, 10)
    assert weights.shape == (n_members,)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    blend = ensembling.Choice(((0,),) * n_members, weights).blend(probs[:, None])
    np.testing.assert_allclose(blend.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(blend, np.tensordot(weights, probs, 1), atol=1e-6)


@pytest.mark.parametrize("utility", [ACCURACY, LOG_LOSS])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), rounds=st.integers(1, 12))
def test_greedy_is_never_below_the_best_single_member_on_what_it_selects(utility, seed: int, rounds: int) -> None:
    probs, targets = simulated(seed)
    weights = ensembling.greedy(probs, targets, utility, rounds)
    blend = np.tensordot(weights, probs, 1).astype(np.float32)
    assert utility(targets, blend) >= max(utility(targets, member) for member in probs) - 1e-5


def test_greedy_is_never_worse_with_more_rounds() -> None:
    probs, targets = simulated(3)
    reached = []
    for rounds in (1, 3, 10, 20):
        weights = ensembling.greedy(probs, targets, LOG_LOSS, rounds)
        reached.append(LOG_LOSS(targets, np.tensordot(weights, probs, 1)))
    assert reached == sorted(reached)


def test_greedy_gives_ties_to_the_first_member_and_the_fewest_picks() -> None:
    probs, targets = simulated(0, n_members=1)
    weights = ensembling.greedy(np.repeat(probs, 3, axis=0), targets, ACCURACY, 10)
    assert list(weights) == [1, 0, 0]


def test_greedy_leaves_a_member_out_that_only_harms() -> None:
    probs, targets = simulated(0)
    harmful = np.roll(np.eye(3, dtype=np.float32)[targets], 1, axis=1)
    assert ensembling.greedy(np.stack([harmful, *probs]), targets, ACCURACY, 20)[0] == 0


def sized(*skills: float, n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """One member's sizes (sizes, images, classes), the errors of all sizes drawn alike."""
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 3, n)
    noise = rng.dirichlet(np.ones(3), n)
    return np.stack([(1 - s) * noise + s * np.eye(3)[targets] for s in skills]).astype(np.float32), targets


@pytest.mark.parametrize(
    ("skills", "usual", "picked"),
    [
        ((0.2, 0.4, 0.3), 0, (1,)),
        ((0.3, 0.3, 0.3), 1, (1,)),
        ((0.3, 0.3005, 0.1), 0, (0,)),
        ((0.3,), 0, (0,)),
    ],
)
def test_a_size_wins_by_score_and_near_ties_go_to_the_usual_one(skills, usual: int, picked: tuple[int, ...]) -> None:
    probs, targets = sized(*skills)
    assert ensembling.pick_image_sizes(probs, targets, ACCURACY, usual) == picked


def test_the_mean_of_all_sizes_wins_where_their_errors_differ() -> None:
    probs, targets = simulated(0, n_members=3, n=1000, skill=0.2)
    assert ensembling.pick_image_sizes(probs, targets, ACCURACY, 0) == (0, 1, 2)


def choose_on(method: str, n_members: int, utility=ACCURACY):
    return partial(ensembling.choose, usual_sizes=[0] * n_members, utility=utility, method=method, rounds=10)


def test_nested_blends_of_noise_are_not_flattered_but_naive_ones_are() -> None:
    naive, nested, singles = [], [], []
    for seed in range(10):
        probs, targets = simulated(seed, n_members=15, n=120, skill=0)
        members = list(probs.reshape(5, 3, 120, 3))
        folds = (np.arange(120) % 4).astype(str)
        choose = choose_on("greedy", 5)
        oof, alone = ensembling.nested_oof(members, targets, folds, choose)
        nested.append(scores.accuracy_score(targets, oof))
        singles += [scores.accuracy_score(targets, member) for member in alone]
        naive.append(scores.accuracy_score(targets, choose(members, targets).blend(members)))
    assert np.mean(naive) > 0.4
    assert abs(np.mean(nested) - 1 / 3) < 0.03
    assert abs(np.mean(singles) - 1 / 3) < 0.03


def test_a_folds_own_targets_do_not_change_its_nested_blend() -> None:
    probs, targets = simulated(5, n_members=6, n=90)
    members, folds = list(probs.reshape(3, 2, 90, 3)), np.repeat(["a", "b", "c"], 30)
    turned = np.where(folds == "b", (targets + 1) % 3, targets)
    first, _ = ensembling.nested_oof(members, targets, folds, choose_on("greedy", 3, LOG_LOSS))
    second, _ = ensembling.nested_oof(members, turned, folds, choose_on("greedy", 3, LOG_LOSS))
    np.testing.assert_array_equal(first[folds == "b"], second[folds == "b"])
    assert (first != second).any()


def test_nested_blends_do_not_depend_on_the_order_of_images() -> None:
    probs, targets = simulated(6, n_members=6, n=90)
    members, folds = list(probs.reshape(3, 2, 90, 3)), np.repeat(["a", "b", "c"], 30)
    order = np.random.default_rng(0).permutation(90)
    blended, _ = ensembling.nested_oof(members, targets, folds, choose_on("greedy", 3))
    mixed, _ = ensembling.nested_oof(
        [member[:, order] for member in members], targets[order], folds[order], choose_on("greedy", 3)
    )
    np.testing.assert_array_equal(mixed, blended[order])
