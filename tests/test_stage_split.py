import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.core import tables
from podium.core.errors import InputError
from stages import split

WRITTEN = ("folds.csv", "balance.csv", "balance.json", "conflicts.csv")


def write_inputs(
    root: Path, n: int = 24, folds: object = (0, 1, 2), rule: str = "keep", confirmed: tuple[str, ...] = ()
) -> None:
    """A contest of two classes with two near duplicates, an image without a label and an unreadable one."""
    ids = [f"{i:02}.png" for i in range(n)]
    labels = pd.DataFrame({"image_id": ids, "label": ["a", "b"] * (n // 2), "use": "train", "reason": ""})
    labels = labels.assign(group="", fold="")
    labels.loc[0, ["use", "reason"]] = ["skip", "truncated"]
    labels.loc[1, ["use", "label", "reason"]] = ["skip", "", "no label"]
    facts = pd.DataFrame({"image_id": ids, "width": 9, "height": 9, "mode": "RGB", "format": "PNG", "bytes": 1})
    facts = facts.assign(sha256="", problem=["truncated", *[""] * (n - 1)], note="")
    clusters = pd.DataFrame({"image_id": ["04.png", "09.png"], "cluster": "04.png"})
    tables.write(labels, root / "data/label/labels.csv", contracts.LABELS)
    decisions = labels[labels["image_id"].isin(confirmed)].assign(effect="confirmed")
    decisions = decisions.assign(given=decisions["label"], action=decisions["label"])[
        list(contracts.OVERRIDES_APPLIED.columns)
    ]
    tables.write(decisions, root / "data/label/overrides_applied.csv", contracts.OVERRIDES_APPLIED)
    tables.write(facts, root / "data/prepare/train/facts.csv", contracts.FACTS)
    tables.write(clusters, root / "data/analyze/clusters.csv", contracts.CLUSTERS)
    values = {
        "folds": list(folds) if isinstance(folds, tuple) else folds,
        "split": {"seed": 0, "conflicting_duplicates": rule},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(values))


def test_every_image_has_a_row_and_every_readable_one_a_fold(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_inputs(tmp_path)
    split.main(root=tmp_path)
    table = tables.read(tmp_path / "data/split/folds.csv", tables.FOLDS).set_index("image_id")
    assert list(table.index) == [f"{i:02}.png" for i in range(24)]
    assert table["fold"].iloc[0] == ""
    assert set(table["fold"].iloc[1:]) == {"0", "1", "2"}
    assert table.loc["04.png", "fold"] == table.loc["09.png", "fold"]
    assert table.loc["09.png", "group"] == "04.png"
    balance = json.loads((tmp_path / "data/split/balance.json").read_text())
    assert sum(balance["images_per_fold"].values()) == 22
    assert balance["groups_of_several"] == 1
    assert "classes are even" in capsys.readouterr().out


def test_classes_that_are_not_even_are_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_inputs(tmp_path)
    clusters = pd.DataFrame({"image_id": [f"{i:02}.png" for i in range(4, 20, 2)], "cluster": "04.png"})
    tables.write(clusters, tmp_path / "data/analyze/clusters.csv", contracts.CLUSTERS)
    split.main(root=tmp_path)
    printed = capsys.readouterr().out
    assert "least even: class 'a' has 8 images in fold" in printed
    assert "fewer folds or smaller groups" in printed
    write_inputs(tmp_path, folds=(0, 1))
    tables.write(clusters, tmp_path / "data/analyze/clusters.csv", contracts.CLUSTERS)
    split.main(root=tmp_path)
    assert "use smaller groups" in capsys.readouterr().out  # two folds are the fewest there can be


def test_same_inputs_same_bytes(tmp_path: Path) -> None:
    written = []
    for _ in range(2):
        write_inputs(tmp_path)
        split.main(root=tmp_path)
        written.append([(tmp_path / "data/split" / name).read_bytes() for name in WRITTEN])
    assert written[0] == written[1]


def test_balance_is_a_row_per_fold_and_class(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    split.main(root=tmp_path)
    table = tables.read(tmp_path / "data/split/balance.csv", contracts.BALANCE)
    assert list(table[["fold", "label"]].itertuples(index=False, name=None)) == [(f, x) for f in "012" for x in "ab"]
    assert table["images"].sum() == 22


@pytest.mark.parametrize("image", [9, 12], ids=["in conflict", "alone"])
def test_other_words_for_a_relabelling_leave_the_folds_as_they_are(tmp_path: Path, image: int) -> None:
    """All training depends on folds.csv."""
    write_inputs(tmp_path)
    path = tmp_path / "data/label/labels.csv"
    labels, written = tables.read(path, contracts.LABELS), []
    for words in ("override: blurred", "override: I looked again"):
        labels.loc[image, "reason"] = words
        tables.write(labels, path, contracts.LABELS)
        split.main(root=tmp_path)
        written.append([(tmp_path / "data/split" / name).read_bytes() for name in WRITTEN])
    assert written[0] == written[1]


@pytest.mark.parametrize(("rule", "use"), [("keep", "train"), ("drop", "skip"), ("majority", "skip")])
def test_conflicting_duplicates_are_never_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture, rule: str, use: str
) -> None:
    """04.png is an a, 09.png, its duplicate, a b. What is dropped still has the fold whose model predicts it."""
    write_inputs(tmp_path, rule=rule)
    split.main(root=tmp_path)
    table = tables.read(tmp_path / "data/split/folds.csv", tables.FOLDS).set_index("image_id")
    pair = table.loc[["04.png", "09.png"]]
    assert list(pair["label"]) == ["a", "b"]
    assert set(pair["use"]) == {use}
    assert pair["reason"].str.startswith("labels of its duplicates differ: ").all()
    assert pair["fold"].nunique() == 1
    assert pair["fold"].iloc[0] in {"0", "1", "2"}
    listed = tables.read(tmp_path / "data/split/conflicts.csv", contracts.CONFLICTS)
    assert list(listed["image_id"]) == ["04.png", "09.png"]
    done = "kept" if rule == "keep" else "dropped"
    printed = capsys.readouterr().out
    assert "WARNING: 1 clusters" in printed
    assert f"{done} 2" in printed


def test_a_class_with_too_few_groups_after_the_drop_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three images of class c suffice for three folds; one of them is a duplicate of an a."""
    write_inputs(tmp_path, rule="drop")
    path = tmp_path / "data/label/labels.csv"
    labels = tables.read(path, contracts.LABELS)
    labels.loc[[9, 10, 11], "label"] = "c"
    tables.write(labels, path, contracts.LABELS)
    split.main(root=tmp_path)
    assert "'c' (2 images in 2 groups)" in capsys.readouterr().out


def test_an_unknown_rule_is_refused(tmp_path: Path) -> None:
    write_inputs(tmp_path, rule="dropp")
    with pytest.raises(InputError, match=r"split\.conflicting_duplicates"):
        split.main(root=tmp_path)


def test_a_user_group_in_several_folds_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_inputs(tmp_path)
    path = tmp_path / "data/label/labels.csv"
    labels = tables.read(path, contracts.LABELS)
    tables.write(labels.assign(fold=[str(i // 2 % 3) for i in range(24)]), path, contracts.LABELS)
    split.main(root=tmp_path)
    printed = capsys.readouterr().out
    assert "WARNING: 1 groups" in printed
    assert "04.png, 09.png" in printed


@pytest.mark.parametrize("folds", [5, (0,), (0, 0), (True, 1), ("a/b", "c")])
def test_a_list_of_folds_that_cannot_be_is_refused(tmp_path: Path, folds: object) -> None:
    write_inputs(tmp_path, folds=folds)
    with pytest.raises(InputError, match=r"params\.yaml: folds"):
        split.main(root=tmp_path)


@pytest.mark.parametrize(
    ("rule", "labels", "uses"),
    [("drop", ["a", "b"], ["train", "skip"]), ("majority", ["a", "a"], ["train", "train"])],
)
def test_a_confirmed_label_settles_a_conflict(tmp_path: Path, rule: str, labels: list[str], uses: list[str]) -> None:
    write_inputs(tmp_path, rule=rule, confirmed=("04.png",))
    split.main(root=tmp_path)
    pair = tables.read(tmp_path / "data/split/folds.csv", tables.FOLDS).set_index("image_id").loc[["04.png", "09.png"]]
    assert (list(pair["label"]), list(pair["use"])) == (labels, uses)


def test_a_confirmed_label_without_a_conflict_changes_no_fold(tmp_path: Path) -> None:
    """Nor a reason: every training depends on folds.csv."""
    written = []
    for confirmed in ((), ("04.png", "10.png")):
        write_inputs(tmp_path, confirmed=confirmed)
        split.main(root=tmp_path)
        written.append((tmp_path / "data/split/folds.csv").read_bytes())
    assert written[0] == written[1]
