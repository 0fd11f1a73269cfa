import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core import params
from podium.core.errors import InputError
from podium.folds import assignment, rare_classes
from podium.folds.settings import FoldList

NO_CLUSTERS = pd.DataFrame({"image_id": [], "cluster": []}, dtype="str")
NAMES = ("0", "b", "2")


def labels_table(labels: list[str], **columns: list[str]) -> pd.DataFrame:
    ids = [f"{i:04}.png" for i in range(len(labels))]
    table = pd.DataFrame({"image_id": ids, "label": labels, "use": "train", "reason": "", "group": "", "fold": ""})
    return table.assign(**columns).astype("str")


def assign(labels: pd.DataFrame, clusters: pd.DataFrame = NO_CLUSTERS, seed: int = 0, **options: list[str]):
    options = {"unreadable": [], "names": NAMES, **options}
    return assignment.assign(labels, clusters=clusters, seed=seed, **options)


def clusters_table(rows: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"image_id": list(rows), "cluster": list(rows.values())}, dtype="str")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30), st.booleans()), min_size=20, max_size=70),
    st.integers(0, 5),
)
def test_no_cluster_and_no_group_crosses_folds(rows: list[tuple[int, int, bool]], seed: int) -> None:
    """Neither a cluster, nor a user's group, nor what a chain of both ties together; skipped images too."""
    alone = 2 * len(NAMES)
    labels = labels_table(
        ["a", "b"] * len(NAMES) + ["ab"[g % 2] for g, _, _ in rows],
        group=[""] * alone + [f"g{g}" if g else "" for g, _, _ in rows],
        use=["train"] * alone + ["train" if used else "skip" for _, _, used in rows],
    )
    ids = list(labels["image_id"])[alone:]
    clusters = clusters_table({i: f"c{c}" for i, (_, c, _) in zip(ids, rows, strict=True) if c})
    table = assign(labels, clusters, seed).table
    fold = table.set_index("image_id")["fold"]
    for sets in (clusters.groupby("cluster")["image_id"], labels[labels["group"] != ""].groupby("group")["image_id"]):
        assert all(fold[list(members)].nunique() == 1 for _, members in sets)
    assert set(fold) == set(NAMES)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=90), st.integers(0, 5))
def test_every_image_has_one_fold_and_no_group_crosses(groups: list[int], seed: int) -> None:
    user_groups = ["" for _ in range(30)] + [f"g{group}" for group in groups]
    labels = labels_table(["ab"[i % 2] for i in range(len(user_groups))], group=user_groups)
    clusters = clusters_table({"0000.png": "0000.png", "0007.png": "0000.png"})
    table = assign(labels, clusters, seed).table
    assert list(table["image_id"]) == sorted(labels["image_id"])
    assert set(table["fold"]) == set(NAMES)
    assert (table.groupby("group")["fold"].nunique() == 1).all()
    grouped = table.assign(own=user_groups).query("own != ''")
    assert (grouped.groupby("own")["group"].nunique() == 1).all()
    assert table["group"][0] == table["group"][7]


@pytest.mark.parametrize("own", [False, True])
def test_the_order_of_rows_changes_nothing(own: bool) -> None:
    labels = labels_table(["a", "b", "c"] * 20, group=[f"g{i // 2}" for i in range(60)])
    labels["fold"] = [NAMES[i // 2 % 3] for i in range(60)] if own else ""
    labels.loc[5:9, "use"] = "skip"
    clusters = clusters_table({"0001.png": "0001.png", "0050.png": "0001.png"})
    mixed = assign(labels.sample(frac=1, random_state=1), clusters.iloc[::-1])
    pd.testing.assert_frame_equal(mixed.table, assign(labels, clusters).table)


def test_other_seeds_draw_other_folds() -> None:
    labels = labels_table(["a", "b"] * 30)
    assert list(assign(labels, seed=0).table["fold"]) != list(assign(labels, seed=1).table["fold"])


def test_groups_and_clusters_join_into_components_named_after_the_smallest_image() -> None:
    labels = labels_table(["a"] * 5, group=["", "g", "g", "h", ""])
    clusters = clusters_table({"0002.png": "0002.png", "0003.png": "0002.png"})
    assert list(assignment.connect(labels, clusters)) == ["0000.png", "0001.png", "0001.png", "0001.png", "0004.png"]


def test_skipped_images_follow_their_group_and_unreadable_ones_have_no_fold() -> None:
    labels = labels_table(["a", "b"] * 30, group=["", *[f"g{i // 2}" for i in range(59)]])
    labels.loc[[0, 20, 30], "use"] = "skip"
    table = assign(labels, unreadable=["0030.png"]).table.set_index("image_id")
    assert table.loc["0000.png", "fold"] in NAMES
    assert table.loc["0020.png", "fold"] == table.loc["0019.png", "fold"]
    assert table.loc["0020.png", "group"] == table.loc["0019.png", "group"]
    assert table.loc["0030.png", "fold"] == ""


def test_one_more_skipped_image_moves_no_other() -> None:
    labels = labels_table(["a", "b"] * 30)
    labels.loc[40:, "use"] = "skip"
    pd.testing.assert_series_equal(assign(labels[:-1]).table["fold"], assign(labels).table["fold"][:-1])


def test_user_folds_are_used_as_they_are() -> None:
    own = [NAMES[i % 3] for i in range(12)]
    assigned = assign(labels_table(["a", "a", "a", "b", "b", "b"] * 2, fold=own))
    assert list(assigned.table["fold"]) == own
    assert assigned.warnings == ()


def test_a_group_that_crosses_user_folds_is_named() -> None:
    own = [NAMES[i % 3] for i in range(6)]
    clusters = clusters_table({"0001.png": "0001.png", "0002.png": "0001.png"})
    (warning,) = assign(labels_table(["a", "b", "b", "b", "a", "a"], fold=own), clusters).warnings
    assert "0001.png, 0002.png" in warning


def test_a_class_that_one_of_user_folds_holds_alone_is_named() -> None:
    (warning,) = assign(labels_table(list("adadcca"), fold=list("00bb222"))).warnings
    assert "'c'" in warning


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (["0", "b", "2", ""], "no fold: 0003.png"),
        (["0", "b", "2", "3"], "0003.png '3'"),
        (["0", "b", "b", "b"], "folds: .* fold 2"),
    ],
)
def test_user_folds_that_do_not_fit_are_refused(own: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        assign(labels_table(["a", "a", "b", "b"], fold=own))


def one_small_class() -> pd.DataFrame:
    return labels_table(["a", "b"] * 15 + ["tiny"] * 2)


def one_grouped_class() -> pd.DataFrame:
    return labels_table(["a", "b"] * 15 + ["tiny"] * 9, group=[""] * 30 + ["g", "h", "h"] * 3)


@pytest.mark.parametrize(
    ("labels", "words"),
    [(one_small_class, "'tiny' (2 images in 2 groups)"), (one_grouped_class, "'tiny' (9 images in 2 groups)")],
)
def test_a_class_with_fewer_groups_than_folds_is_kept_in_two_folds_and_named(
    labels: Callable[[], pd.DataFrame], words: str
) -> None:
    for seed in range(5):
        assigned = assign(labels(), seed=seed)
        tiny = assigned.table[assigned.table["label"] == "tiny"]
        assert tiny["fold"].nunique() == 2
        assert (tiny.groupby("group")["fold"].nunique() == 1).all()
        assert any(words in warning for warning in assigned.warnings)
        assert not any("never trained" in warning for warning in assigned.warnings)


def test_classes_of_one_image_are_kept_and_named_together() -> None:
    """As of whales: most are in one photo."""
    labels = labels_table(["new"] * 20 + ["few"] * 4 + [f"w{i}" for i in range(30)])
    assigned = assign(labels)
    assert set(assigned.table["use"]) == {"train"}
    assert assigned.table["fold"].isin(NAMES).all()
    (warning,) = [warning for warning in assigned.warnings if "never trained" in warning]
    assert "'w0'" in warning
    assert "25 more" in warning


def test_classes_that_share_a_fold_by_chance_are_spread() -> None:
    used = pd.DataFrame({"label": list("aaabbcc"), "group": list("1234567"), "fold": list("0120000")})
    fold = rare_classes.spread(used, ("0", "1", "2"))
    assert fold.groupby(used["label"]).nunique().to_dict() == {"a": 3, "b": 2, "c": 2}
    assert (fold != used["fold"]).sum() == 2


def test_too_few_groups_in_every_class_are_refused() -> None:
    with pytest.raises(InputError, match=r"params\.yaml: folds: .*: 'a' \(2 images in 2 groups\)"):
        assign(labels_table(["a", "a", "b", "b"]))


@pytest.mark.parametrize(
    ("labels", "groups", "n_folds"),
    [
        ("aaabbb", "", 5),  # fewer folds
        ("acaabadbd", "gihmljmgi", 2),  # more folds, or without a rare class
        ("aabb", "", 2),  # neither more nor fewer folds work
        ("a" * 9 + "b", "", 2),  # a single class would be left
        ("ab" * 9, "g" * 16 + "hi", 2),
    ],
)
def test_the_way_out_that_an_error_names_works(labels: str, groups: str, n_folds: int) -> None:
    table = labels_table(list(labels), **({"group": list(groups)} if groups else {}))
    with pytest.raises(InputError) as raised:
        assign(table, names=[str(i) for i in range(n_folds)])
    message = str(raised.value)
    numbers = [int(n) for n in re.findall(r"\d+", "".join(re.findall(r"use ([\d or]+) folds", message)))]
    for n in numbers:
        assign(table, names=[str(i) for i in range(n)])
    dropped = re.findall(r"drop the images of class (.*) in contest", message)
    if dropped:
        rest = table[~table["label"].isin(re.findall("'(.)'", dropped[0]))]
        assign(rest, names=[str(i) for i in range(n_folds)])
    assert "add images" in message
    assert bool(numbers or dropped) == (labels in ("aaabbb", "acaabadbd"))


@pytest.mark.parametrize(
    ("own", "names"), [(["0", "1"], ("0",)), (["a", "01"], ("0",)), (["on", "1e5"], ("a", "b")), (["7", "007"], ("7",))]
)
def test_the_list_of_folds_that_an_error_names_works(own: list[str], names: tuple[str, ...], tmp_path: Path) -> None:
    table = labels_table(list("aabb") * 4, fold=own * 8)
    with pytest.raises(InputError) as raised:
        assign(table, names=names)
    (tmp_path / "params.yaml").write_text(re.findall(r"folds: \[.*?\](?= in params)", str(raised.value))[0])
    listed = params.parse(params.read(tmp_path), "", FoldList).folds
    assert set(assign(table, names=listed).table["fold"]) == set(own)


def test_own_folds_with_names_that_cannot_be_listed_are_to_be_renamed() -> None:
    with pytest.raises(InputError, match=r"rename fold 1, x\.5 in the label CSV"):
        assign(labels_table(list("aabb"), fold=["fold 1", "x.5"] * 2), names=("0", "1"))
    with pytest.raises(InputError, match="needs two folds"):
        assign(labels_table(list("aabb"), fold=["7"] * 4), names=("0", "1"))


def test_all_train_images_are_trained_on_and_scored_once() -> None:
    table = assign(labels_table(list(np.random.default_rng(0).choice(["a", "b", "c"], 100)))).table
    folds = [set(table.loc[table["fold"] == name, "image_id"]) for name in NAMES]
    assert sum(map(len, folds)) == len(set.union(*folds)) == 100


@pytest.mark.parametrize(
    ("labels", "own", "names", "reason"),
    [
        ("abaabb", "00b222", NAMES, "only class 'a' is left"),
        ("aaaabb", "", ("0", "1"), "only class 'a' is left"),
    ],
    ids=["own folds of one class", "two images of a class in two folds"],
)
def test_folds_without_nested_cross_validation_are_refused(labels: str, own: str, names: tuple, reason: str) -> None:
    columns = {"fold": list(own)} if own else {}
    with pytest.raises(InputError, match=f"folds: .*{reason}"):
        assign(labels_table(list(labels), **columns), names=names)


def test_two_patients_in_two_folds_are_refused() -> None:
    labels = labels_table(list("abab"), group=["x", "x", "y", "y"])
    with pytest.raises(InputError, match="one group each cannot be halved"):
        assign(labels, names=("0", "1"))
