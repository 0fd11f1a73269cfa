"""Outer folds split no group and spread each class; folds that allow no nested cross-validation are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.folds.outer_folds import deal, unusable_reason

AB = ("a", "b")


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=2, max_size=40))
def test_two_folds_are_halved_by_group_and_evenly_in_each_class(groups: list[tuple[int, int]]) -> None:
    """Each group has two images, a fold and a class."""
    folds, targets = (np.repeat(column, 2) for column in zip(*groups, strict=True))
    folds[:2], folds[-2:] = 0, 1  # there are two
    numbers = np.repeat(np.arange(len(groups)), 2)
    outer_folds = deal(folds, numbers, targets)
    assert sorted(set(outer_folds)) == list(range(outer_folds.max() + 1))
    np.testing.assert_array_equal(deal(folds, np.char.mod("%03d.png", numbers), targets), outer_folds)  # names as well
    for group in range(len(groups)):
        assert len(set(outer_folds[numbers == group])) == 1
    for fold in (0, 1):
        for index in range(3):
            counts = np.bincount(outer_folds[(folds == fold) & (targets == index)], minlength=4)
            halves = [int(counts[outer_fold]) for outer_fold in set(outer_folds[folds == fold])]
            assert max(halves) - min(halves) <= 2 or len(halves) == 1  # a group at most


def test_alternating_labels_are_in_every_half() -> None:
    index = np.arange(60)
    outer_folds = deal(index // 2 % 2, index, index % 2)  # parity of the groups alone would separate the classes
    assert unusable_reason(outer_folds, index % 2, AB) == ""
    assert all(set(index[outer_folds == outer_fold] % 2) == {0, 1} for outer_fold in range(4))


@pytest.mark.parametrize(
    ("folds", "groups", "targets", "reason"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1], "two folds of one group each cannot be halved"),
        ([0, 0, 1, 1, 2, 2], [0, 1, 2, 3, 4, 5], [0, 1, 0, 0, 1, 1], "only class 'b' is left"),
        ([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5], [0, 0, 1, 0, 0, 1], "only class 'a' is left"),
    ],
    ids=["one group a fold", "one class a fold", "a class of two"],
)
def test_the_reason_is_given_if_nested_cross_validation_is_impossible(
    folds: list, groups: list, targets: list, reason: str
) -> None:
    given = np.array(targets)
    assert reason in unusable_reason(deal(np.array(folds), np.array(groups), given), given, AB)
