import pandas as pd
import pytest

from podium.core.errors import InputError
from podium.folds import conflicts


def labels_table(rows: str, **changes: list[str]) -> pd.DataFrame:
    """`rows`: a label per image, e.g. "aab"; the images are called 0, 1, 2, ..."""
    ids = [str(i) for i in range(len(rows))]
    table = pd.DataFrame({"image_id": ids, "label": list(rows), "use": "train", "reason": "", "group": "", "fold": ""})
    return table.assign(**changes).astype("str")


def clusters_table(*clusters: str) -> pd.DataFrame:
    rows = [(image_id, cluster[0]) for cluster in clusters for image_id in cluster]
    return pd.DataFrame(rows, columns=["image_id", "cluster"], dtype="str")


def resolved(labels: pd.DataFrame, rule: str, *clusters: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Label and use of each image, and what was done to those in conflict."""
    result = conflicts.resolve(labels, clusters_table(*clusters), rule)
    return list(result.labels[["label", "use"]].itertuples(index=False, name=None)), list(result.conflicts["done"])


KEEP, SKIP = "train", "skip"


@pytest.mark.parametrize("rule", ["keep", "drop", "majority"])
def test_without_a_conflict_nothing_changes(rule: str) -> None:
    labels = labels_table("aabb", use=["train", "train", "train", "skip"], group=["g", "", "g", ""])
    result = conflicts.resolve(labels, clusters_table("01", "23"), rule)
    pd.testing.assert_frame_equal(result.labels, labels)
    assert result.conflicts.empty


def test_keep_changes_no_label_and_no_use_and_says_so_in_the_row() -> None:
    labels = labels_table("abab")
    result = conflicts.resolve(labels, clusters_table("01"), "keep")
    assert result.labels["reason"].tolist() == ["labels of its duplicates differ: kept"] * 2 + [""] * 2
    pd.testing.assert_frame_equal(result.labels.assign(reason=""), labels)
    assert result.conflicts.to_numpy().tolist() == [["0", "0", "a", "kept"], ["1", "0", "b", "kept"]]


def test_drop_skips_all_images_of_the_cluster() -> None:
    rows, done = resolved(labels_table("aabab"), "drop", "012")
    assert rows == [("a", SKIP), ("a", SKIP), ("b", SKIP), ("a", KEEP), ("b", KEEP)]
    assert done == ["dropped"] * 3


def test_majority_relabels_the_minority_and_says_from_what() -> None:
    result = conflicts.resolve(labels_table("aabb"), clusters_table("012"), "majority")
    assert result.labels["label"].tolist() == ["a", "a", "a", "b"]
    assert set(result.labels["use"]) == {KEEP}
    assert result.labels["reason"][2] == "labels of its duplicates differ: relabelled a instead of b"
    assert result.conflicts["label"].tolist() == ["a", "a", "b"]
    assert result.conflicts["done"].tolist() == ["kept", "kept", "relabelled a"]


def test_a_tie_of_the_majority_is_dropped() -> None:
    rows, done = resolved(labels_table("aabbabab"), "majority", "0123", "45")
    assert [use for _, use in rows] == [SKIP] * 6 + [KEEP] * 2
    assert done == ["dropped"] * 6


def test_skipped_images_have_no_vote_and_stay_skipped() -> None:
    labels = labels_table("abbab", use=[KEEP, KEEP, SKIP, KEEP, KEEP], reason=["", "", "override", "", ""])
    rows, done = resolved(labels, "majority", "012")
    assert [use for _, use in rows] == [SKIP, SKIP, SKIP, KEEP, KEEP]
    assert done == ["dropped", "dropped"]


@pytest.mark.parametrize("rule", ["keep", "drop", "majority"])
def test_an_overridden_image_stays_as_it_is(rule: str) -> None:
    labels = labels_table("baaab", reason=["override: seen", *[""] * 4])
    result = conflicts.resolve(labels, clusters_table("012"), rule)
    assert result.labels.loc[0, ["image_id", "label", "use"]].tolist() == ["0", "b", "train"]
    assert result.labels.loc[0, "reason"] == "labels of its duplicates differ: kept"
    assert result.conflicts["done"][0] == "kept by its override"


@pytest.mark.parametrize(("rule", "use", "label"), [("keep", KEEP, "a"), ("drop", SKIP, "a"), ("majority", KEEP, "b")])
def test_a_confirmed_label_is_the_right_one(rule: str, use: str, label: str) -> None:
    labels = labels_table("baaab")
    result = conflicts.resolve(labels, clusters_table("012"), rule, confirmed=["0"])
    assert result.conflicts["done"][0] == "kept by its override"
    assert result.labels.loc[0, ["label", "use", "reason"]].tolist() == ["b", KEEP, f"{conflicts.REASON}: kept"]
    assert set(result.labels["label"][1:3]) == {label}
    assert set(result.labels["use"][1:3]) == {use}


@pytest.mark.parametrize("rule", ["keep", "majority"])
def test_a_confirmation_of_a_label_that_the_rule_does_not_change_changes_no_row(rule: str) -> None:
    labels, clusters = labels_table("baaab"), clusters_table("012")
    plain, confirmed = (conflicts.resolve(labels, clusters, rule, ids).labels for ids in ([], ["1"]))
    pd.testing.assert_frame_equal(confirmed, plain)


def test_the_label_of_a_clusters_overrides_is_the_right_one() -> None:
    labels = labels_table("baabab", reason=["override", *[""] * 5])
    rows, done = resolved(labels, "majority", "0123")
    assert rows[:4] == [("b", KEEP)] * 4
    assert done == ["kept by its override", "relabelled b", "relabelled b", "kept"]
    rows, done = resolved(labels, "drop", "0123")
    assert rows[:4] == [("b", KEEP), ("a", SKIP), ("a", SKIP), ("b", KEEP)]
    assert done == ["kept by its override", "dropped", "dropped", "kept"]


@pytest.mark.parametrize("rule", ["drop", "majority"])
def test_if_overrides_contradict_each_other_the_others_are_dropped(rule: str) -> None:
    labels = labels_table("abaab", reason=["override", "override", "", "", ""])
    assert [use for _, use in resolved(labels, rule, "012")[0]] == [KEEP, KEEP, SKIP, KEEP, KEEP]


@pytest.mark.parametrize("rule", ["keep", "drop", "majority"])
def test_the_order_of_rows_changes_nothing(rule: str) -> None:
    labels, clusters = labels_table("aabbcabcab"), clusters_table("0124", "35")
    straight = conflicts.resolve(labels, clusters, rule)
    mixed = conflicts.resolve(labels.iloc[::-1], clusters.iloc[::-1], rule)
    pd.testing.assert_frame_equal(mixed.labels.sort_index(), straight.labels)
    pd.testing.assert_frame_equal(mixed.conflicts, straight.conflicts)


@pytest.mark.parametrize(("rule", "rows"), [("drop", "aaab"), ("majority", "aaaab")])
def test_a_class_that_loses_all_its_images_is_named(rule: str, rows: str) -> None:
    cluster = "23" if rule == "drop" else "234"
    with pytest.raises(InputError, match=rf"conflicting_duplicates: {rule} leaves no image of class 'b'"):
        conflicts.resolve(labels_table(rows), clusters_table(cluster), rule)
    conflicts.resolve(labels_table(rows), clusters_table(cluster), "keep")


def test_conflicts_are_counted_by_the_first_word_of_done() -> None:
    labels = labels_table("aabba", reason=["override", *[""] * 4])
    result = conflicts.resolve(labels, clusters_table("0124"), "majority")
    assert conflicts.counts(result.conflicts) == {"kept": 3, "relabelled": 1}
