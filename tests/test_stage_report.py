import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.core import tables
from podium.core.errors import InputError
from podium.reports import confusion, diversity, reliability, unseen_classes
from podium.scoring import scores
from stages import report

PROJECT = Path(__file__).parents[1]
CLASSES = ["blue", "red", "福"]
IMAGES = [f"{i:03}.png" for i in range(90)]
SKIPPED, UNREADABLE = "003.png", "005.png"
EXTERNAL = "theirs"
OUTPUTS = [
    "calibration.json",
    "classes.csv",
    "confusion.csv",
    "confusion_plot.csv",
    "differences.csv",
    "members.csv",
    "reliability.csv",
    "unseen_classes.json",
]


def folds_table() -> pd.DataFrame:
    table = pd.DataFrame({"image_id": IMAGES, "label": [CLASSES[i % 3] for i in range(90)], "use": "train"})
    table = table.assign(reason="", group=IMAGES, fold=[str(i // 3 % 3) for i in range(90)])
    table.loc[table["image_id"].isin([SKIPPED, UNREADABLE]), "use"] = "skip"
    table.loc[table["image_id"] == UNREADABLE, "fold"] = ""
    return table


def probabilities(labels: pd.Series, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    raw = rng.uniform(0.1, 1, (len(labels), 3)) + 0.6 * np.eye(3)[pd.Index(CLASSES).get_indexer(labels)]
    return (raw / raw.sum(1, keepdims=True)).astype(np.float32)


def with_probs(rows: pd.DataFrame, probs: np.ndarray) -> pd.DataFrame:
    return rows.assign(**{tables.PROBABILITY + name: probs[:, k] for k, name in enumerate(CLASSES)})


def blend_names(names: tuple[str, ...]) -> list[str]:
    """Two or more members of params.yaml have a joint probe."""
    joint = ["joint_probe"] if len(set(names) - {EXTERNAL}) > 1 else []
    return sorted([*names, *joint])


def write_inputs(root: Path, names: tuple[str, ...] = ("b", "a"), shuffled: bool = False) -> None:
    """Write the outputs of `split` and `ensemble`."""
    folds = folds_table()
    used = folds[folds["use"] == "train"]
    members = [name for name in names if name != EXTERNAL]
    seeds = {"oof": 7} | {f"members/{name}": seed for seed, name in enumerate(blend_names(names))}
    for name, seed in seeds.items():
        oof = with_probs(used[["image_id", "label", "fold"]], probabilities(used["label"], seed))
        oof = oof.sample(frac=1, random_state=1) if shuffled else oof
        tables.write(oof, root / f"data/ensemble/{name}.parquet", contracts.OOF)
    tables.write(folds[::-1] if shuffled else folds, root / "data/split/folds.csv", tables.FOLDS)
    contest = {"images": {"train": "a", "test": "b"}, "metric": "macro_f1"}
    values: dict[str, Any] = {"contest": contest, "members": {key: {} for key in members}, "external": {}}
    values["external"] = {key: {} for key in set(names) - set(members)}
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def written(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "data/report").iterdir())}


def test_tables_agree_with_the_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_inputs(tmp_path)
    report.main(root=tmp_path)
    folder = tmp_path / "data/report"
    assert list(written(tmp_path)) == OUTPUTS
    oof = tables.read(tmp_path / "data/ensemble/oof.parquet", contracts.OOF)
    right = (
        oof[[tables.PROBABILITY + c for c in CLASSES]].to_numpy().argmax(1) == oof["label"].map(CLASSES.index)
    ).sum()
    table = tables.read(folder / "confusion.csv", confusion.CONFUSION)
    assert table["images"].sum() == 88
    assert table.loc[table["label"] == table["predicted"], "images"].sum() == right
    bins = tables.read(folder / "reliability.csv", reliability.RELIABILITY)
    assert (bins["accuracy"] * bins["images"]).sum() == pytest.approx(right, abs=1e-3)
    assert tables.read(folder / "classes.csv", confusion.CLASSES)["images"].sum() == 88
    assert json.loads((folder / "calibration.json").read_text())["error"] > 0
    printed = capsys.readouterr().out
    assert "calibration error" in printed
    assert "report: a " in printed
    assert "report: b " in printed
    assert "report: joint_probe " in printed
    assert printed.splitlines()[-1].startswith(
        f"report: out of fold, the blend is wrong for {88 - right} of 88 images ({(88 - right) / 88:.1%}); most often "
    )


def test_members_scores_are_those_of_their_oof_predictions(tmp_path: Path) -> None:
    write_inputs(tmp_path, ("b", "a", EXTERNAL))
    report.main(root=tmp_path)
    scored = tables.read(tmp_path / "data/report/members.csv", diversity.MEMBER_VALUE).set_index("member")["score"]
    assert list(scored.index) == ["a", "b", "joint_probe", EXTERNAL]
    used = folds_table().query("use == 'train'")
    targets = pd.Index(CLASSES).get_indexer(used["label"])
    for seed, name in enumerate(scored.index):
        expected = scores.SCORES["macro_f1"].function(targets, probabilities(used["label"], seed))
        assert scored[name] == pytest.approx(expected, abs=1e-6)


def test_same_inputs_same_bytes_whatever_the_order_of_rows_and_members(tmp_path: Path) -> None:
    results = []
    for k, names in enumerate([("b", "a"), ("a", "b")]):
        root = tmp_path / str(k)
        write_inputs(root, names, shuffled=bool(k))
        report.main(root=root)
        results.append(written(root))
    assert results[0] == results[1]


def test_one_member_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_inputs(tmp_path, ("a",))
    report.main(root=tmp_path)
    assert "a is the only member" in capsys.readouterr().out


def test_predictions_of_other_folds_are_refused(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    folds = folds_table()
    folds.loc[7, "label"] = "blue"
    tables.write(folds, tmp_path / "data/split/folds.csv", tables.FOLDS)
    with pytest.raises(InputError, match=r"oof\.parquet: its images, labels or classes are not those of folds\.csv"):
        report.main(root=tmp_path)


def test_dvc_plots_cover_every_table(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    report.main(root=tmp_path)
    shown = set()
    for entry in yaml.safe_load((PROJECT / "dvc.yaml").read_text())["plots"]:
        plot = next(iter(entry.values())) if isinstance(entry, dict) else {}
        for axis in ("x", "y"):
            for path, column in plot[axis].items() if isinstance(plot.get(axis), dict) else []:
                if path.startswith("data/report"):
                    shown.add(Path(path).name)
                    columns = set(tables.read_text_csv(tmp_path / path).columns)
                    assert column in columns
                    template = (PROJECT / f".dvc/plots/{plot['template']}.json").read_text()
                    json.loads(template)
                    assert fields(template, column) <= columns | {"rev", "at", "place", "panel"}
    assert shown == {name for name in OUTPUTS if not name.endswith(".json") and name != "confusion.csv"}


def fields(template: str, column: str) -> set[str]:
    """All fields that a template reads, with this column in place of both axes' placeholders."""
    for placeholder in ("<DVC_METRIC_X>", "<DVC_METRIC_Y>"):
        template = template.replace(placeholder, column if "_low" not in template else "f1")
    names: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            names.update([value["field"]] if isinstance(value.get("field"), str) else [])
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(json.loads(template))
    return names


def test_classes_that_are_all_in_one_fold_are_named_with_the_score_without_them() -> None:
    used = pd.DataFrame({"label": ["a", "a", "b", "b", "c", "d"], "fold": list("010101")})
    targets, probs = np.array([0, 0, 1, 1, 2, 3]), np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 0, 0]]
    found = unseen_classes.summary(used, targets, probs, scores.SCORES["accuracy"])
    assert (found["classes"], found["images"], found["score_without"]) == (["c", "d"], 2, 1)
    (sentence,) = unseen_classes.sentences(found)
    assert "c, d" in sentence
    assert "0.6667" in sentence
    assert (
        unseen_classes.sentences(unseen_classes.summary(used[:4], targets[:4], probs[:4], scores.SCORES["mcc"])) == []
    )
