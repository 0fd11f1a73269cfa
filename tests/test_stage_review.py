"""The stage `review` on predictions that contradict some labels, and suspects that become overrides."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from podium import contracts
from podium.core import pixels, tables
from podium.core.errors import InputError
from podium.pictures import drawing
from podium.reports import label_errors, suspect_sheet
from stages import label, review, split
from tests import prediction_tables

CLASSES = ("blue", "red")
IDS = [f"{i:02}.png" for i in range(24)]
TRUTH = {image_id: CLASSES[i % 2] for i, image_id in enumerate(IDS)}
WRONG = ["04.png", "09.png"]  # given the other class
BLURRED, UNREADABLE = "06.png", "07.png"  # dropped by an override; no prediction
FILES = ["overrides_to_consider.csv", "pairs.csv", "summary.json", "suspects.csv", "suspects.png"]


def given(image_id: str) -> str:
    right = TRUTH[image_id]
    return CLASSES[1 - CLASSES.index(right)] if image_id in WRONG else right


def member(sizes: list[int]) -> dict[str, Any]:
    return {
        "model": {"backbone": "resnet10t", "weights": "none", "image_size": 32},
        "pretrain": {"epochs": 0, "lr": 0.01},
        "finetune": {"epochs": 1, "lr": 0.01},
        "infer": {"image_sizes": sizes, "transforms": ["identity", "hflip"]},
    }


def write_predictions(root: Path, name: str, sizes: list[int], seed: int) -> None:
    """Write what infer and probe of a member would leave."""
    for number, folder in enumerate(("infer", "probe")):
        table = predicted(sizes, ["identity", "hflip"], seed + 10 * number)
        tables.write(table, root / f"data/{folder}/{name}.parquet", tables.PREDICTIONS)


def predicted(sizes: list[int], transforms: list[str], seed: int) -> pd.DataFrame:
    """Rows of every readable image in random order, all right with confidence, but 00.png, which is barely wrong."""
    rng = np.random.default_rng(seed)
    readable = [(i, str(IDS.index(i) // 2 % 3)) for i in IDS if i != UNREADABLE]
    table = prediction_tables.rows("train", readable, sizes, transforms)
    confidence = rng.uniform(0.8, 0.99, len(table))
    confidence[table["image_id"] == "00.png"] = 0.45
    red = np.where(prediction_tables.truth(table), confidence, 1 - confidence)
    return prediction_tables.with_red(table, red).sample(frac=1, random_state=seed)


def write_pack(root: Path) -> None:
    with pixels.Writer(root / "data/prepare/train/pixels.arrow", encoding="raw") as writer:
        for k, image_id in enumerate(IDS):
            if image_id != UNREADABLE:
                writer.add(image_id, np.full((40, 50, 3), 10 * k, np.uint8))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contest with its own folds, so a corrected label moves no image to another fold."""
    root = tmp_path_factory.mktemp("inputs")
    members = {"b": member([32]), "a": member([32, 40])}
    contest = {
        "images": {"train": "train", "test": "test"},
        "labels": "labels.csv",
        "columns": {"fold": "fold"},
        "overrides": "overrides.csv",
    }
    values = {"folds": [0, 1, 2], "contest": contest, "split": {"seed": 0}, "members": members}
    values |= {"fixres": {}, "pseudo": {}, "distill": {}, "external": {}}
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    rows = [f"{i},{given(i)},{k // 2 % 3}" for k, i in enumerate(IDS)]
    tables.write_text("\n".join(["image_id,label,fold", *rows]) + "\n", root / "labels.csv")
    tables.write_text(f"image_id,action,reason\n{BLURRED},drop,blurred\n", root / "overrides.csv")
    facts = pd.DataFrame({"image_id": IDS, "width": 50, "height": 40, "mode": "RGB", "format": "PNG", "bytes": 9})
    facts = facts.assign(sha256="", problem=["truncated" if i == UNREADABLE else "" for i in IDS], note="")
    tables.write(facts, root / "data/prepare/train/facts.csv", contracts.FACTS)
    clusters = pd.DataFrame({"image_id": ["04.png", "05.png"], "cluster": "04.png"})
    tables.write(clusters, root / "data/analyze/clusters.csv", contracts.CLUSTERS)
    write_pack(root)
    for seed, name in enumerate(members):
        write_predictions(root, name, members[name]["infer"]["image_sizes"], seed)
    joint = predicted([0], ["identity"], seed=30)
    tables.write(joint, root / "data/joint_probe/predictions.parquet", tables.PREDICTIONS)
    label_and_split(root)
    return root


@pytest.fixture
def root(inputs: Path, tmp_path: Path) -> Path:
    return shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)


def label_and_split(root: Path) -> None:
    label.main(root=root)
    split.main(root=root)


def override(root: Path, *rows: str) -> None:
    with (root / "overrides.csv").open("a") as opened:
        opened.writelines(f"{row}\n" for row in rows)
    label_and_split(root)


def suspects(root: Path) -> pd.DataFrame:
    review.main(root=root)
    return tables.read(root / "data/review/suspects.csv", contracts.SUSPECTS)


def summary(root: Path) -> dict[str, Any]:
    return tables.read_json(root / "data/review/summary.json")


def test_wrong_labels_are_listed_flagged_ones_first(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = suspects(root)
    assert sorted(path.name for path in (root / "data/review").iterdir()) == FILES
    assert sorted(table["image_id"][:2]) == WRONG
    assert table["image_id"][2:].tolist() == ["00.png"]
    assert list(table["flagged"]) == ["yes", "yes", "no"]
    assert list(table["suggested"][:2]) == [TRUTH[i] for i in table["image_id"][:2]]
    assert set(table["members_agreeing"]) == {3}
    assert dict(zip(table["image_id"], table["other_duplicates"], strict=True))["04.png"] == ""
    assert summary(root) == {
        "members": ["a", "b", "joint_probe"],
        "reviewed": 22,
        "not_reviewed": {label_errors.DROPPED: 1, label_errors.NO_PREDICTION: 1},
        "skipped_images_reviewed": 0,
        "suspects": 3,
        "flagged": 2,
        "suspects_decided_by_overrides": 0,
        "members_at_chance": [],
    }
    with Image.open(root / "data/review/suspects.png") as image:
        image.load()
    printed = capsys.readouterr().out
    assert all(f"review: {image_id}: label" in printed for image_id in [*WRONG, "00.png"])
    assert BLURRED not in printed.split("review:", 1)[1]
    assert "WARNING" not in printed


def test_members_at_chance_are_reported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"a": ["infer/a", "probe/a"], "b": ["infer/b", "probe/b"], "joint_probe": ["joint_probe/predictions"]}
    warnings = {
        name: f"WARNING: not shown to be better than chance at these labels: {listed};"
        for name, listed in (("a", "a"), ("b", "a, b"))
    } | {"joint_probe": "WARNING: no member"}
    for name, warning in warnings.items():
        for file in files[name]:
            prediction_tables.change(root / f"data/{file}.parquet", lambda table: np.full(len(table), 0.4))
        suspects(root)
        printed = capsys.readouterr().out
        assert warning in printed
        assert name in summary(root)["members_at_chance"]
        rows = (root / "data/review/overrides_to_consider.csv").read_text().splitlines()[1:]
        assert bool(rows) == ("suggested" in printed) == (name != "joint_probe")  # after it, no member is better


def test_fixres_and_external_predictions_count(root: Path) -> None:
    values = yaml.safe_load((root / "params.yaml").read_text())
    values |= {"fixres": {"b": {"image_size": 48, "epochs": 1, "lr": 0.1}}}
    values |= {"external": {"z": {"oof": "oof.csv", "test": "placeholders/none.csv"}}}
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    third = tables.read(root / "data/infer/b.parquet", tables.PREDICTIONS).assign(image_size=48)
    third = prediction_tables.with_red(third, np.full(len(third), 0.7))
    tables.write(third, root / "data/infer_fixres/b.parquet", tables.PREDICTIONS)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    folds.loc[folds["image_id"] == "04.png", ["use", "reason"]] = ["skip", "conflicting duplicate"]
    tables.write(folds, root / "data/split/folds.csv", tables.FOLDS)
    elsewhere = third[(third["transform"] == "identity") & ~third["image_id"].isin(["04.png", BLURRED])]
    elsewhere = prediction_tables.with_red(elsewhere.assign(image_size=0), np.full(len(elsewhere), 0.8))
    tables.write(elsewhere, root / "data/external/z.parquet", tables.PREDICTIONS)
    table = suspects(root).set_index("image_id")
    for image_id in WRONG:
        a, b, joint = own_votes(root, image_id)
        votes = [a, np.average([b, 0.7], weights=[2, 1]), joint]  # b: two phases, and fixres
        votes += [0.8] if image_id == "09.png" else []
        side = "p_suggested" if table.loc[image_id, "suggested"] == "red" else "p_given"
        assert table.loc[image_id, side] == pytest.approx(np.mean(votes), abs=1e-4)
        assert ("z: red (p 0.80)" in table.loc[image_id, "members"]) == (image_id == "09.png")
        assert table.loc[image_id, "members_asked"] == (4 if image_id == "09.png" else 3)
    assert summary(root)["members"] == ["a", "b", "joint_probe", "z"]
    assert summary(root)["members_at_chance"] == ["z"]


def own_votes(root: Path, image_id: str) -> list[float]:
    """The probability of red that a, b and the joint probe give: the mean over their phases, sizes and transforms."""
    files = [["infer/a", "probe/a"], ["infer/b", "probe/b"], ["joint_probe/predictions"]]
    read = [pd.concat([pd.read_parquet(root / f"data/{file}.parquet") for file in each]) for each in files]
    return [table[table["image_id"] == image_id]["p:red"].mean() for table in read]


def test_the_probabilities_are_the_mean_over_all_members_phases_sizes_and_transforms(root: Path) -> None:
    table = suspects(root).set_index("image_id")
    for image_id in WRONG:
        each = [red if TRUTH[image_id] == "red" else 1 - red for red in own_votes(root, image_id)]
        assert table.loc[image_id, "p_suggested"] == pytest.approx(np.mean(each), abs=1e-4)
        assert table.loc[image_id, "p_given"] == pytest.approx(1 - np.mean(each), abs=1e-4)
        names = ["a", "b", "joint_probe"]
        votes = [f"{name}: {TRUTH[image_id]} (p {p:.2f})" for name, p in zip(names, each, strict=True)]
        assert table.loc[image_id, "members"] == "; ".join(votes)


def test_same_inputs_same_bytes_whatever_the_order_of_members_and_rows(root: Path) -> None:
    written = []
    for reverse in (False, True):
        if reverse:
            reverse_inputs(root)
        review.main(root=root)
        written.append([(root / "data/review" / name).read_bytes() for name in FILES])
    assert written[0] == written[1]


def reverse_inputs(root: Path) -> None:
    values = yaml.safe_load((root / "params.yaml").read_text())
    values["members"] = dict(reversed(values["members"].items()))
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    for file, contract in (
        ("infer/a.parquet", tables.PREDICTIONS),
        ("probe/b.parquet", tables.PREDICTIONS),
        ("joint_probe/predictions.parquet", tables.PREDICTIONS),
        ("split/folds.csv", tables.FOLDS),
        ("analyze/clusters.csv", contracts.CLUSTERS),
    ):
        tables.write(tables.read(root / "data" / file, contract)[::-1], root / "data" / file, contract)


def test_pasted_suggestions_relabel_and_are_not_suspected_again(root: Path) -> None:
    suspects(root)
    rows = (root / "data/review/overrides_to_consider.csv").read_text().splitlines()
    assert rows[0] == "image_id,action,reason"
    override(root, *rows[1:])
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).set_index("image_id")
    assert [folds.loc[i, "label"] for i in WRONG] == [TRUTH[i] for i in WRONG]
    assert tables.read_json(root / "data/label/summary.json")["overrides"]["relabelled"] == 3
    assert suspects(root).empty
    assert tables.read(root / "data/review/pairs.csv", contracts.LABEL_PAIRS).empty


def test_a_confirmed_label_is_not_suspected_again_and_changes_no_fold(root: Path) -> None:
    suspects(root)
    before = [(root / "data" / name).read_bytes() for name in ("label/labels.csv", "split/folds.csv")]
    override(root, f"04.png,{given('04.png')},looked at it")
    assert [(root / "data" / name).read_bytes() for name in ("label/labels.csv", "split/folds.csv")] == before
    assert suspects(root)["image_id"].tolist() == ["09.png", "00.png"]
    assert summary(root)["suspects_decided_by_overrides"] == 1


def test_a_skipped_image_with_a_label_is_reviewed(root: Path) -> None:
    path = root / "data/split/folds.csv"
    folds = tables.read(path, tables.FOLDS)
    folds.loc[folds["image_id"] == "09.png", ["use", "reason"]] = ["skip", "conflicting duplicate"]
    tables.write(folds, path, tables.FOLDS)
    table = suspects(root).set_index("image_id")
    assert table.loc["09.png", "use"] == "skip"
    assert summary(root)["skipped_images_reviewed"] == 1


def test_duplicates_with_another_label_are_named(root: Path) -> None:
    clusters = pd.DataFrame({"image_id": ["04.png", "02.png"], "cluster": "02.png"})
    tables.write(clusters, root / "data/analyze/clusters.csv", contracts.CLUSTERS)
    table = suspects(root).set_index("image_id")
    assert table.loc["04.png", "other_duplicates"] == f"02.png {given('02.png')}"
    override(root, "02.png,drop,blurred")
    assert suspects(root).set_index("image_id").loc["04.png", "other_duplicates"] == ""


def test_pairs_count_the_suspects(root: Path) -> None:
    table = suspects(root)
    pairs = tables.read(root / "data/review/pairs.csv", contracts.LABEL_PAIRS)
    assert pairs["suspects"].sum() == len(table)
    assert pairs["flagged"].sum() == (table["flagged"] == "yes").sum()


def test_a_removed_members_file_is_not_read(root: Path) -> None:
    (root / "data/infer/old.parquet").write_bytes(b"left behind")
    suspects(root)
    assert summary(root)["members"] == ["a", "b", "joint_probe"]


@pytest.mark.parametrize("file", ["infer/b", "probe/a", "joint_probe/predictions"])
def test_a_missing_prediction_is_named(root: Path, file: str) -> None:
    path = root / f"data/{file}.parquet"
    table = tables.read(path, tables.PREDICTIONS)
    tables.write(table[table["image_id"] != "11.png"], path, tables.PREDICTIONS)
    with pytest.raises(InputError, match=r"no prediction for 11\.png"):
        review.main(root=root)


def test_long_names_and_many_members_fit_the_sheet(root: Path) -> None:
    """Names of 60 letters, eight members and more suspects than the sheet shows."""
    n = 40
    votes = "; ".join(f"member{i}: {'long_' * 12}{i} (p 0.50)" for i in range(8))
    table = pd.DataFrame({"image_id": ["00.png"] * n, "given": "x" * 60, "suggested": "y" * 60, "flagged": "yes"})
    table = table.assign(
        p_given=0.1, p_suggested=0.9, members_agreeing=7, members_asked=8, members=votes, other_duplicates="b.png z"
    )
    canvas = suspect_sheet.draw(table, pixels.open_pack(root / "data/prepare/train/pixels.arrow"))
    assert canvas.width == suspect_sheet.COLUMNS * (suspect_sheet.TILE_SIZE + drawing.GAP) + drawing.GAP
    assert canvas.height < 3000
