"""Labels as cells, classes and targets."""

import numpy as np
import pandas as pd
import pytest

from podium.core import targets

CELLS = ["{b|c}", "{a}", "{}", "{a|b|c}"]


@pytest.mark.parametrize("names", [[], ["a"], ["b", "a"], ["{x}", "a}"], ["a b", "é"]])
def test_a_set_survives_its_cell(names: list[str]) -> None:
    cell = targets.as_cell(names)
    assert targets.is_cell(cell)
    assert targets.of_cell(cell) == sorted(names)
    assert cell == targets.as_cell(reversed(names))


def test_classes_are_sorted_and_know_whether_they_stand_together() -> None:
    one, sets = targets.class_names(["b", "a", "b"]), targets.class_names(CELLS)
    assert (list(one), targets.are_sets(one), targets.fewest_labels(one)) == (["a", "b"], False, 1)
    assert (list(sets), targets.are_sets(sets), targets.fewest_labels(sets)) == (["a", "b", "c"], True, 0)
    assert targets.fewest_labels(targets.class_names(["{a}", "{a|b}"])) == 1
    assert targets.names_in([*CELLS, "", "d"]) == {"a", "b", "c", "d"}


def test_targets_are_indices_of_classes_and_flags_of_sets() -> None:
    assert targets.of_labels(["b", "x", None], ["a", "b"]).tolist() == [1, -1, -1]
    found = targets.of_labels([*CELLS, "{z}", float("nan")], targets.class_names(CELLS))
    assert found.tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [-1, -1, -1], [-1, -1, -1]]
    assert targets.are_known(found).tolist() == [True] * 4 + [False] * 2


def test_rows_of_images_and_labels_come_back_as_images() -> None:
    classes = targets.class_names(CELLS)
    probs = np.random.default_rng(0).random((2, 4, 3)).astype(np.float32)
    rows = targets.probs_of_rows(probs, classes)
    assert rows.shape == (2, 12, 2)
    np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-6)
    np.testing.assert_array_equal(targets.probs_of_images(rows[1], classes), probs[1])
    own = rows[0][np.arange(12), targets.as_rows(targets.of_labels(CELLS, classes))]
    assert own[1] == probs[0, 0, 1]  # the first image has b
    assert own[0] == pytest.approx(1 - probs[0, 0, 0])
    assert targets.rows_of_images(np.arange(4), classes).tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert targets.rows_of_images(np.arange(4), ["a", "b"]).tolist() == [0, 1, 2, 3]


def test_an_image_of_a_contest_without_empty_sets_gets_its_likeliest_label_at_least() -> None:
    probs = np.array([[0.6, 0.2, 0.7], [0.1, 0.3, 0.2]])
    assert targets.predicted_sets(probs, 0).tolist() == [[True, False, True], [False] * 3]
    assert targets.predicted_sets(probs, 1).tolist() == [[True, False, True], [False, True, False]]


def test_a_table_of_sets_has_a_row_a_label_and_one_of_classes_stays() -> None:
    table = pd.DataFrame({"image_id": list("wxyz"), "label": CELLS}, dtype="str")
    found = targets.one_label_a_row(table)
    assert list(found["image_id"]) == list("wwxzzz")
    assert list(found["label"]) == list("bcaabc")
    plain = table.assign(label="a")
    assert targets.one_label_a_row(plain) is plain
