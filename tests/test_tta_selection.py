import numpy as np
import pytest

from podium.ensembling import tta_selection
from podium.ensembling.tta_selection import OofByTta, decide
from podium.predictions import calibration
from podium.predictions.tta import Tta, alternative_ttas, default_tta, seen
from podium.scoring import intervals, scores
from podium.scoring.evaluation_set import EvaluationSet

VIEWS = ("hflip", "identity")


def scored(targets: np.ndarray, metric: str = "accuracy", group_size: int = 1) -> EvaluationSet:
    groups = np.arange(len(targets)) // group_size
    return EvaluationSet(targets, groups % 5, groups, groups % 5, scores.SCORES[metric])


def member(
    skills: list[float],
    *,
    seed: int = 0,
    n: int = 500,
    noise: float = 0.3,
    metric: str = "accuracy",
    group_size: int = 1,
) -> OofByTta:
    """A member with a size per skill, the usual one first; sizes share most of their noise."""
    rng = np.random.default_rng(seed)
    targets = np.repeat(rng.integers(0, 3, n // group_size), group_size)
    shared = rng.normal(size=(n, 3))
    logs = {}
    for index, skill in enumerate(skills):
        logits = shared + noise * rng.normal(size=(n, 3)) + skill * np.eye(3)[targets]
        probs = calibration.scaled((2 * logits).astype(np.float32), 1.0)
        logs[Tta((100 + 10 * index,), VIEWS)] = calibration.log_probs(probs)
    usual, *others = logs
    return OofByTta(usual, tuple(others), logs, scored(targets, metric, group_size))


def taken(found: tta_selection.TtaChoice) -> tuple[int, ...]:
    return found.tta.image_sizes


def verdicts(found: tta_selection.TtaChoice) -> dict[tuple[int, ...], str]:
    return {candidate.tta.image_sizes: candidate.verdict for candidate in found.candidates}


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "roc_auc", "macro_f1"])
def test_a_size_that_helps_is_taken(metric: str) -> None:
    found = decide(member([1.0, 1.9], metric=metric))
    assert 110 in taken(found)
    chosen = next(c for c in found.candidates if c.tta == found.tta)
    assert chosen.verdict == "chosen"
    assert chosen.p < 0.05
    assert chosen.evidence.low > 0
    assert found.temperature == chosen.temperature


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_a_size_that_collapses_is_named_and_never_taken_alone_or_in_an_average(metric: str) -> None:
    for seed in range(10):
        found = decide(member([1.8, 1.85, 0.6], seed=seed, metric=metric))
        assert verdicts(found)[120,] == "worse"
        assert 120 not in taken(found)
        assert all(120 not in tta for tta in verdicts(found) if len(tta) > 1)


def test_without_a_size_that_does_no_harm_there_is_no_average() -> None:
    assert set(verdicts(decide(member([1.8, 0.6])))) == {(100,), (110,)}


def test_ten_sizes_that_do_nothing_are_seldom_taken() -> None:
    """No single one is better. Their average is, by a little, since it averages noise: taking it is no mistake."""
    ttas = [taken(decide(member([1.5] * 11, seed=seed, n=200))) for seed in range(80)]
    assert sum(tta != (100,) and len(tta) == 1 for tta in ttas) <= 8  # 5% are 4; 9 or more have a chance of 2%


def test_an_average_that_does_nothing_is_seldom_taken() -> None:
    """The others are as much worse as averaging gains: see the mean of its true gain in docs/measure/simulate_tta.py."""
    ttas = [taken(decide(member([1.5, 1.42, 1.42], seed=seed, n=200))) for seed in range(80)]
    assert sum(tta != (100,) for tta in ttas) <= 8


def test_the_average_of_sizes_is_taken_where_their_noise_differs() -> None:
    found = decide(member([1.2, 1.2, 1.2], noise=1.5, n=1000))
    assert taken(found) == (100, 110, 120)


def test_groups_weaken_evidence() -> None:
    """Images of one group that are the same image say no more than one."""
    single = member([1.2, 1.42], n=120, seed=1)
    logs = {tta: np.repeat(array, 6, axis=0) for tta, array in single.logs.items()}
    targets = np.repeat(single.scored.targets, 6)
    alone = OofByTta(single.usual, single.others, dict(logs), scored(targets))
    grouped = OofByTta(single.usual, single.others, dict(logs), scored(targets, group_size=6))
    p = [np.log(decide(one).candidates[1].p) for one in (alone, grouped, single)]
    assert p[0] < 3 * p[1]
    assert p[1] == pytest.approx(p[2], abs=1)  # the temperature's prior weighs less on six times the images


def test_only_images_outside_the_left_out_parts_decide() -> None:
    first = member([1.0, 1.9])
    found = decide(first, frozenset({2}))
    turned = first.scored.targets.copy()
    turned[first.scored.outer_folds == 2] = (turned[first.scored.outer_folds == 2] + 1) % 3
    second = OofByTta(first.usual, first.others, dict(first.logs), scored(turned))
    assert decide(second, frozenset({2})) == found
    assert decide(second) != decide(first)


@pytest.mark.parametrize("skills", [[1.0, 1.9, 1.8], [1.2, 1.2, 1.25], [1.5, 1.45, 1.6], [1.8, 0.6, 1.8]])
@pytest.mark.parametrize("metric", ["roc_auc", "macro_f1"])
def test_bootstraps_that_are_spared_change_nothing(
    skills: list[float], metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [frozenset({one, other}) for one in range(5) for other in range(one)]
    first = member(skills, metric=metric, n=200, noise=1.0)
    spared = [decide(first, held_out) for held_out in pairs]
    evidence = tta_selection._evidence
    monkeypatch.setattr(tta_selection, "_evidence", lambda *given: evidence(*given[:-1], False))
    full = [decide(first, held_out) for held_out in pairs]
    assert [(one.tta, one.temperature) for one in spared] == [(one.tta, one.temperature) for one in full]
    assert [one.candidates for one in spared] != [one.candidates for one in full]  # some were spared


@pytest.mark.parametrize(
    ("p_values", "taken"), [((0.03, 0.001, 0.01), 0), ((0.001, 0.03, 0.01), 0), ((0.2, 0.001, 0.01), 1)]
)
def test_what_is_spared_takes_no_support_from_a_better_look(
    p_values: tuple[float, ...], taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three ttas by rising loss: Holm may support the first only with the last one's help."""
    first = member([1.0, 1.9, 1.8, 1.7], metric="roc_auc")
    asked = []

    def evidence(self: intervals.Baseline, candidate: np.ndarray) -> intervals.Evidence:
        asked.append(p_values[len(asked)])
        return intervals.Evidence(0.1, 0.0, 0.2, asked[-1], 1.0)

    monkeypatch.setattr(intervals.Baseline, "evidence", evidence)
    monkeypatch.setattr(tta_selection, "_average", lambda *given: None)
    assert decide(first, frozenset({2})).tta == first.others[taken]


def test_one_view_may_be_better_than_all() -> None:
    first = member([1.0, 1.9])
    usual, alone = Tta((100,), VIEWS), Tta((100,), ("identity",))
    logs = {usual: first.logs[usual], alone: first.logs[first.others[0]]}
    assert decide(OofByTta(usual, (alone,), logs, first.scored)).tta == alone


def test_the_usual_look_is_the_training_size_in_all_views() -> None:
    usual = default_tta([288, 224], ["identity", "hflip"], 224)
    assert usual == Tta((224,), VIEWS)
    assert default_tta([288, 320], ["identity"], 224) == Tta((288,), ("identity",))
    assert alternative_ttas(usual, [288, 224]) == (Tta((288,), VIEWS), Tta((224,), ("identity",)))
    assert alternative_ttas(Tta((224,), ("identity",)), [224]) == ()


def test_a_look_is_the_mean_over_its_views_then_its_sizes() -> None:
    probs = np.random.default_rng(0).dirichlet((1, 1, 1), (2, 2, 5)).astype(np.float32)
    np.testing.assert_allclose(np.exp(seen(probs, None)), probs.mean(axis=(0, 1)), rtol=1e-5)
    shifts = np.log(np.array([3.0, 1.0, 1.0], np.float32))
    shifted = [of_size.mean(axis=0) * [3, 1, 1] for of_size in probs]
    expected = np.mean([x / x.sum(axis=1, keepdims=True) for x in shifted], axis=0)
    np.testing.assert_allclose(np.exp(seen(probs, shifts)), expected, rtol=1e-5)


def test_the_average_made_of_single_sizes_is_the_one_read_at_once() -> None:
    probs = np.random.default_rng(0).dirichlet((1, 1, 1), (2, 2, 5)).astype(np.float32)
    ttas = [Tta((size,), VIEWS) for size in (10, 20)]
    logs = {tta: seen(probs[[i]], None) for i, tta in enumerate(ttas)}
    both = OofByTta(ttas[0], (ttas[1],), logs, scored(np.arange(5) % 3)).at(Tta((10, 20), VIEWS))
    np.testing.assert_allclose(both, seen(probs, None), rtol=1e-5)
