"""What is left out together: no class is lost with it, and what cannot be dealt is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.folds.outer_folds import in_parts, without_choice

AB = ("a", "b")


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=2, max_size=40))
def test_two_folds_are_halved_by_group_and_evenly_in_each_class(groups: list[tuple[int, int]]) -> None:
    """Each group has two images, a fold and a class."""
    folds, targets = (np.repeat(column, 2) for column in zip(*groups, strict=True))
    folds[:2], folds[-2:] = 0, 1  # there are two
    numbers = np.repeat(np.arange(len(groups)), 2)
    parts = in_parts(folds, numbers, targets)
    assert sorted(set(parts)) == list(range(parts.max() + 1))
    np.testing.assert_array_equal(in_parts(folds, np.char.mod("%03d.png", numbers), targets), parts)  # names as well
    for group in range(len(groups)):
        assert len(set(parts[numbers == group])) == 1
    for fold in (0, 1):
        for index in range(3):
            counts = np.bincount(parts[(folds == fold) & (targets == index)], minlength=4)
            halves = [int(counts[part]) for part in set(parts[folds == fold])]
            assert max(halves) - min(halves) <= 2 or len(halves) == 1  # a group at most


def test_alternating_labels_are_in_every_half() -> None:
    index = np.arange(60)
    parts = in_parts(index // 2 % 2, index, index % 2)  # parity of the groups alone would part the classes
    assert without_choice(parts, index % 2, AB) == ""
    assert all(set(index[parts == part] % 2) == {0, 1} for part in range(4))


@pytest.mark.parametrize(
    ("folds", "groups", "targets", "reason"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1], "two folds of one group each cannot be halved"),
        ([0, 0, 1, 1, 2, 2], [0, 1, 2, 3, 4, 5], [0, 1, 0, 0, 1, 1], "only class 'b' is left"),
        ([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5], [0, 0, 1, 0, 0, 1], "only class 'a' is left"),
    ],
    ids=["one group a fold", "one class a fold", "a class of two"],
)
def test_what_leaves_nothing_to_choose_on_is_told(folds: list, groups: list, targets: list, reason: str) -> None:
    given = np.array(targets)
    assert reason in without_choice(in_parts(np.array(folds), np.array(groups), given), given, AB)
