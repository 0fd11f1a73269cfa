import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.folds import assignment, balance

NAMES = ("0", "1", "2")


def drawn(
    labels: list[str], groups: list[str] | None = None, names: tuple[str, ...] = NAMES
) -> assignment.FoldAssignment:
    ids = [f"{i:05}.png" for i in range(len(labels))]
    table = pd.DataFrame({"image_id": ids, "label": labels, "use": "train", "reason": "", "fold": ""})
    table["group"] = groups or ""
    nothing = pd.DataFrame({"image_id": [], "cluster": []}, dtype="str")
    return assignment.assign(table.astype("str"), clusters=nothing, unreadable=[], names=names, seed=0)


def test_classes_are_spread_evenly() -> None:
    result = balance.summary(drawn(["rare"] * 9 + ["often"] * 90).table)
    assert result["images_per_class_per_fold"]["rare"] == {"0": 3, "1": 3, "2": 3}
    assert result["images_per_fold"] == {"0": 33, "1": 33, "2": 33}
    assert result["worst_share_deviation"] == 0
    assert result["groups_of_several"] == 0
    assert result["unbalanced_classes"] == []


def test_every_fold_and_class_has_a_row_of_counts_even_an_empty_one() -> None:
    table = pd.DataFrame({"label": ["a", "a", "b", "c"], "use": ["train"] * 3 + ["skip"], "fold": ["1", "1", "0", "0"]})
    assert balance.counts(table).to_numpy().tolist() == [["0", "a", 0], ["0", "b", 1], ["1", "a", 2], ["1", "b", 0]]


def test_worst_share_deviation_is_the_largest_difference() -> None:
    table = pd.DataFrame({"label": ["a", "a", "b", "b"], "use": "train", "fold": ["0", "0", "0", "1"], "group": "g"})
    assert balance.summary(table)["worst_share_deviation"] == 0.5


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(3, 20), min_size=2, max_size=12))
def test_images_that_stand_alone_are_balanced_to_rounding(sizes: list[int]) -> None:
    assigned = drawn([f"c{c}" for c, n in enumerate(sizes) for _ in range(n)])
    assert balance.deviations(assigned.table)["deviation"].max() < 1
    assert assigned.warnings == ()


def test_pairs_of_duplicates_cost_an_image_and_are_no_fault() -> None:
    assigned = drawn(["a"] * 30 + ["b"] * 30, [f"g{i // 2}" for i in range(60)])
    assert balance.deviations(assigned.table)["deviation"].max() <= 2
    assert assigned.warnings == ()


def test_a_group_larger_than_a_fold_s_share_is_reported() -> None:
    groups = ["big"] * 20 + [f"g{i}" for i in range(40)]
    (warning,) = drawn(["a"] * 30 + ["b"] * 30, groups).warnings
    assert "impossible" in warning
    assert "'a' has 20 images" in warning
    assert "10.0 would be even (largest group 20)" in warning
    assert "'b'" not in warning


@pytest.mark.parametrize(("in_first", "fault"), [(18, ""), (26, ""), (28, "several")])
def test_a_difference_by_one_group_or_chance_is_no_fault(in_first: int, fault: str) -> None:
    """36 images in groups of two, over two folds: 18 in each are even, and chance gives 4.2 more or less."""
    table = pd.DataFrame({"label": "a", "use": "train", "group": [f"g{i // 2}" for i in range(36)]})
    table["fold"] = ["0" if i < in_first else "1" for i in range(36)]
    assert set(balance.deviations(table)["fault"]) == {fault}
    assert [("split.seed" in warning) for warning in balance.warnings(table)] == [True] * bool(fault)


@pytest.mark.parametrize("n_classes", [200, 1000])
def test_warnings_stay_short_with_many_classes(n_classes: int) -> None:
    """Every class has one group larger than a fold's share."""
    labels = pd.Series([f"c{c:04}" for c in range(n_classes) for _ in range(9)])
    groups = pd.Series([f"g{c}-{max(i, 6)}" for c in range(n_classes) for i in range(9)])
    table = pd.DataFrame(
        {"label": labels, "group": groups, "use": "train", "fold": [str(i % 9 // 7) for i in labels.index]}
    )
    (warning,) = balance.warnings(table)
    assert f"and {n_classes - 3} more" in warning
    assert len(warning) < 600
