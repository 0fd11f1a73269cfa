import numpy as np
import pandas as pd
import pytest

from podium.reports import diversity
from podium.scoring import comparison, scores

ACCURACY = scores.SCORES["accuracy"]


def answers(targets: np.ndarray, right: np.ndarray, sure: float = 0.9) -> np.ndarray:
    """Probabilities of two classes that are right where said, and as sure either way."""
    return np.where(np.eye(2, dtype=bool)[np.where(right, targets, 1 - targets)], sure, 1 - sure).astype(np.float32)


def test_measures_by_hand() -> None:
    right = np.array([[1, 1, 1, 1, 1, 0, 0, 0, 1, 0], [1, 1, 1, 0, 1, 0, 0, 1, 1, 0]], bool)
    a, b, c, d = 5, 1, 1, 3  # both, only the first, only the second, neither
    found = diversity.pairs(right)
    assert found["disagreement"][0, 1] == pytest.approx((b + c) / 10)
    assert found["double fault"][0, 1] == pytest.approx(d / 10)
    assert found["Q statistic"][0, 1] == pytest.approx((a * d - b * c) / (a * d + b * c))
    assert found["error correlation"][0, 1] == pytest.approx(np.corrcoef(right)[0, 1])
    for values in found.values():
        np.testing.assert_allclose(values, values.T)
    np.testing.assert_allclose(np.diag(found["error correlation"]), 1)
    np.testing.assert_allclose(np.diag(found["disagreement"]), 0)


def test_a_member_that_is_always_right_has_no_correlation() -> None:
    found = diversity.pairs(np.array([[1, 1, 1], [1, 0, 1]], bool))
    assert np.isnan(found["error correlation"][0, 1])
    assert np.isnan(found["Q statistic"][0, 1])
    assert diversity.most_alike(0, ["a", "b"], found["error correlation"])[0] == ""


def planted(n: int = 1500) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Three members that err apart, one that is right by chance and loud about it, and a copy of the first."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, n)
    members = {name: answers(targets, rng.random(n) < 0.8, 0.7) for name in "abc"}
    members["loud"] = answers(targets, rng.random(n) < 0.5, 0.99)
    return targets, members


def compared(
    targets: np.ndarray,
    members: dict[str, np.ndarray],
    metric: scores.Metric = ACCURACY,
    groups: np.ndarray | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    groups = np.arange(len(targets)) if groups is None else groups
    pairs, table = diversity.compare_members(
        members.__getitem__, sorted(members), metric=metric, targets=targets, groups=groups
    )
    return pairs, table.set_index("member")


@pytest.mark.parametrize("name", ["accuracy", "log_loss", "macro_f1"])
def test_members_that_help_and_one_that_harms_are_named(name: str) -> None:
    _, table = compared(*planted(), metric=scores.SCORES[name])
    assert table["effect"].to_dict() == {"a": "helps", "b": "helps", "c": "helps", "loud": "harms"}
    assert table["verdict"].to_dict() == dict.fromkeys("abc", comparison.BETTER) | {"loud": comparison.WORSE}
    assert table.loc["loud", "sentence"].startswith("loud harms: by adding it, the equal mean of the members gains -")
    for prefix in ("", "log_loss_"):
        assert (table[f"{prefix}low"] <= table[f"{prefix}gain"]).all()
        assert (table[f"{prefix}gain"] <= table[f"{prefix}high"]).all()


def test_the_gain_is_the_blends_with_and_without() -> None:
    targets, members = planted()
    _, table = compared(targets, members)
    for name in members:
        without = np.mean([probs for other, probs in members.items() if other != name], axis=0)
        expected = ACCURACY.function(targets, np.mean(list(members.values()), axis=0))
        expected -= ACCURACY.function(targets, without)
        assert table.loc[name, "gain"] == pytest.approx(expected, abs=1e-6)
    assert table.loc["a", "score"] == pytest.approx(ACCURACY.function(targets, members["a"]), abs=1e-6)


def test_a_copy_among_many_images_is_redundant_and_known_as_alike() -> None:
    targets, members = planted(2000)
    del members["loud"]
    members |= {"a2": members["a"], "a3": members["a"]}
    pairs, table = compared(targets, members)
    assert table.loc["a2", "most_alike"] in ("a", "a3")
    right = answers(targets, np.ones(2000, bool))
    _, same = compared(targets, {"x": right, "y": right})
    assert set(same["effect"]) == {"redundant"}
    values = pairs.set_index(["member", "other", "measure"])["value"]
    assert values["a", "a2", "disagreement"] == 0
    assert len(pairs) == 5 * 5 * len(diversity.MEASURES)


def test_a_copy_is_redundant_however_few_images_there_are() -> None:
    targets, members = planted(200)
    _, table = compared(targets, {"x": members["a"], "y": members["a"]})
    assert set(table["effect"]) == {"redundant"}
    assert set(table["verdict"]) == {comparison.SAME}
    assert (table[["gain", "low", "high", "log_loss_gain", "log_loss_low", "log_loss_high"]] == 0).all(axis=None)


def test_few_images_are_no_evidence() -> None:
    targets, members = planted(25)
    del members["loud"]
    table = compared(targets, members)[1]
    assert set(table["effect"]) == {"unclear"}
    assert set(table["verdict"]) == {comparison.UNCLEAR}


def test_log_loss_may_say_what_accuracy_cannot() -> None:
    targets = np.arange(300) // 10 % 2
    right = np.arange(300) % 10 >= 3
    members = {"modest": answers(targets, right, np.where(right, 0.9, 0.6)[:, None])}
    members |= {"loud": answers(targets, right, np.where(right, 0.6, 0.9)[:, None])}  # sure where it is wrong
    table = compared(targets, members)[1]
    assert (table["gain"] == 0).all()
    assert table["effect"].to_dict() == {"modest": "helps", "loud": "harms"}
    for name in members:
        assert "in log loss" in table.loc[name, "sentence"]


def test_a_sure_member_is_not_blamed_for_what_a_temperature_mends() -> None:
    """The blend with it is surer or less sure, and the submission's temperature takes that back."""
    targets = np.arange(300) // 10 % 2
    right = np.arange(300) % 10 >= 3
    members = {"modest": answers(targets, right, 0.65), "louder": answers(targets, right, 0.9)}
    table = compared(targets, members)[1]
    assert (table["log_loss_gain"].abs() < 0.001).all()


def test_chance_alone_makes_a_verdict_in_at_most_5_percent_of_blends() -> None:
    """Members of equal worth over one another: nothing is to be found in a blend of two coin tossers."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(40):
        targets = rng.integers(0, 2, 80)
        members = {name: answers(targets, rng.random(80) < 0.5, rng.uniform(0.6, 0.9)) for name in "abc"}
        found.append(compared(targets, members)[1]["effect"].isin(["helps", "harms"]).any())
    assert np.mean(found) <= 0.1


def test_an_only_member_is_compared_with_nothing() -> None:
    targets, members = planted(50)
    pairs, table = compared(targets, {"a": members["a"]})
    assert table.loc["a", ["verdict", "effect"]].tolist() == ["only member", "only member"]
    assert table.loc["a", ["gain", "low", "high", "log_loss_gain", "p"]].isna().all()
    assert len(pairs) == len(diversity.MEASURES)


def test_groups_weaken_evidence() -> None:
    targets, members = planted(300)
    groups = np.arange(1500) // 5
    repeated = {name: np.repeat(probs, 5, axis=0) for name, probs in members.items()}
    alone = compared(np.repeat(targets, 5), repeated)[1]
    grouped = compared(np.repeat(targets, 5), repeated, groups=groups)[1]
    np.testing.assert_allclose(alone["gain"], grouped["gain"])
    assert ((alone["high"] - alone["low"]) < 0.7 * (grouped["high"] - grouped["low"])).all()
