import numpy as np
import pandas as pd
import pytest

from podium import contracts
from podium.ensembling import leakage

CLASSES = ["blue", "red"]


def leaks(*rows: tuple[str, str, str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["test_image_id", "train_image_id", "kind"], dtype="str")
    return table.assign(similarity=1.0)


def folds() -> pd.DataFrame:
    rows = [("a", "blue", "train"), ("b", "red", "train"), ("c", "red", "skip"), ("d", "red", "train")]
    return pd.DataFrame(rows, columns=["image_id", "label", "use"])


def known(*rows: tuple[str, str, str], exact_only: bool = False) -> dict[str, str]:
    return leakage.known(leaks(*rows), folds(), exact_only=exact_only)[0].to_dict()


def test_near_duplicates_have_a_say_only_where_they_are_wanted() -> None:
    rows = ("t1", "a", "exact"), ("t2", "b", "near")
    assert known(*rows) == {"t1": "blue", "t2": "red"}
    assert known(*rows, exact_only=True) == {"t1": "blue"}


def test_duplicates_that_disagree_tell_nothing_and_those_that_agree_do() -> None:
    assert known(("t", "a", "exact"), ("t", "b", "exact")) == {}
    assert known(("t", "b", "exact"), ("t", "d", "near")) == {"t": "red"}


def test_images_that_are_not_used_have_no_say() -> None:
    assert known(("t", "c", "exact")) == {}
    assert known(("t", "a", "exact"), ("t", "c", "exact")) == {"t": "blue"}


def test_duplicates_that_are_too_many_to_name_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ("t", "b", "exact"), ("t", "d", "exact"), ("u", "b", "exact")
    assert known(*rows) == {"t": "red", "u": "red"}
    monkeypatch.setattr(contracts, "MAX_DUPLICATES_NAMED", 2)
    assert known(*rows) == {"u": "red"}


def test_what_tells_nothing_is_named() -> None:
    rows = [("t2", "c", "exact"), ("t1", "a", "exact"), ("t1", "b", "exact"), ("t3", "a", "exact"), ("t4", "a", "near")]
    assert leakage.known(leaks(*rows), folds(), exact_only=True)[1] == ["t1", "t2"]


@pytest.mark.parametrize("exact_only", [False, True])
def test_without_leaks_nothing_is_known_or_replaced(exact_only: bool) -> None:
    labels, untold = leakage.known(leaks(), folds(), exact_only=exact_only)
    assert untold == []
    probs = np.float32([[0.5, 0.5]])
    replaced, count = leakage.apply(probs, ["t"], CLASSES, labels)
    assert count == 0
    np.testing.assert_array_equal(replaced, probs)


def test_a_leaked_label_is_put_in_its_row_whatever_was_predicted() -> None:
    probs = np.float32([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    labels = pd.Series({"t3": "red", "t1": "red", "unreadable": "blue"})
    replaced, count = leakage.apply(probs, ["t1", "t2", "t3"], CLASSES, labels)
    assert count == 2
    np.testing.assert_allclose(replaced, [[0.009, 0.991], [0.2, 0.8], [0.007, 0.993]], atol=1e-6)
    np.testing.assert_allclose(probs[0], [0.9, 0.1])
