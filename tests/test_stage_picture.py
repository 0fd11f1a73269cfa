import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from podium import contracts
from podium.core import pixels, tables
from podium.pictures import plot_tables
from stages import picture

PROJECT = Path(__file__).parents[1]
IMAGES = {
    "福/1.png": "福",
    "福/2.png": "福",
    "b.png": "NA",
    "c.png": "NA",
    "lost.png": "NA",
    "dropped.png": "gone",
    "free.png": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    ids = sorted(IMAGES)
    used = {i: "skip" if i in {"lost.png", "dropped.png", "free.png"} else "train" for i in ids}
    facts = pd.DataFrame({"image_id": ids, "width": 50, "height": 40, "mode": "RGB", "format": "PNG", "bytes": 700,
                          "sha256": "", "problem": "", "note": ""})  # fmt: skip
    facts.loc[facts["image_id"] == "lost.png", ["width", "height", "problem"]] = [0, 0, "empty file"]
    labels = pd.DataFrame({"image_id": ids, "label": [IMAGES[i] for i in ids], "use": [used[i] for i in ids],
                           "reason": "", "group": "", "fold": ""})  # fmt: skip
    findings = pd.DataFrame(
        [("b.png", "test", "small", "9", "64"), ("b.png", "train", "note", "alpha laid on white", ""),
         ("lost.png", "train", "unusable", "empty file", "")], columns=list(contracts.FINDINGS.columns),
    )  # fmt: skip
    clusters = pd.DataFrame({"image_id": ["b.png", "福/1.png"], "cluster": "b.png"})
    leaks = pd.DataFrame([("t.png", "c.png", "near", 0.98)], columns=list(contracts.LEAKS.columns))
    test = facts.head(1).assign(image_id="t.png", problem="")
    tables.write(facts.sample(frac=1, random_state=0), tmp_path / "data/prepare/train/facts.csv", contracts.FACTS)
    tables.write(test, tmp_path / "data/prepare/test/facts.csv", contracts.FACTS)
    tables.write(labels, tmp_path / "data/label/labels.csv", contracts.LABELS)
    tables.write(findings, tmp_path / "data/analyze/findings.csv", contracts.FINDINGS)
    tables.write(clusters, tmp_path / "data/analyze/clusters.csv", contracts.CLUSTERS)
    tables.write(leaks, tmp_path / "data/analyze/leaks.csv", contracts.LEAKS)
    write_pack(tmp_path, "train", [i for i in ids if i != "lost.png"])
    write_pack(tmp_path, "test", ["t.png"])
    return tmp_path


def write_pack(root: Path, subset: str, ids: list[str]) -> None:
    with pixels.Writer(root / f"data/prepare/{subset}/pixels.arrow", encoding="raw") as writer:
        for k, i in enumerate(ids):
            writer.add(i, np.full((40, 50, 3), 30 * k, np.uint8))


def written(root: Path) -> dict[str, bytes]:
    folder = root / "data/picture"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SPREADS = ["aspect_ratio.csv", "brightness.csv", "kilobytes.csv", "megapixels.csv", "red_minus_blue.csv"]
TABLES = ["class_counts.csv", "file_sizes.csv", "sizes.csv", *SPREADS]
PICTURES = ["clusters.png", "findings.png", "leaks.png"]


def test_tables_and_pictures(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture.main(root=root)
    sheets = ["classes/0_na.png", "classes/1_class.png"]
    assert sorted(written(root)) == sorted([*TABLES, *PICTURES, *sheets])
    counts = tables.read(root / "data/picture/class_counts.csv", plot_tables.CLASS_COUNTS)
    assert counts.drop(columns="shown").to_numpy().tolist() == [
        ["NA", 2, 1, "0_na.png"],
        ["gone", 0, 1, ""],
        ["福", 2, 0, "1_class.png"],
    ]
    for name in SPREADS:
        spread = tables.read(root / "data/picture" / name, plot_tables.SPREAD)
        rows = {str(row): set(ids) for row, ids in spread.groupby("row")["image_id"]}
        of_class = {"NA (2)": {"b.png", "c.png"}, "福 (2)": {"福/1.png", "福/2.png"}}
        everything = {i for ids in of_class.values() for i in ids}
        assert rows == {"all of train: 4": everything, "all of test: 1": {"t.png"}, **of_class}
    for name in written(root):
        if name.endswith(".png"):
            with Image.open(root / "data/picture" / name) as image:
                image.load()
    assert "conflicting labels: b.png" in capsys.readouterr().out


def test_a_conflict_that_a_drop_resolved_is_not_reported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tables.read(root / "data/label/labels.csv", contracts.LABELS)
    labels.loc[labels["image_id"] == "b.png", ["use", "reason"]] = ["skip", "override: wrong"]
    tables.write(labels, root / "data/label/labels.csv", contracts.LABELS)
    picture.main(root=root)
    assert "conflicting" not in capsys.readouterr().out


def test_brightness_and_colour_are_joined_on_the_image(root: Path) -> None:
    picture.main(root=root)
    spread = tables.read(root / "data/picture/brightness.csv", plot_tables.SPREAD)
    brightness = dict(zip(spread["image_id"], spread["value"], strict=True))
    packed = sorted(i for i in IMAGES if i != "lost.png")
    assert brightness == pytest.approx({i: 30 * packed.index(i) for i in brightness if i != "t.png"} | {"t.png": 0})
    assert set(spread.loc[spread["image_id"] == "c.png", "colour"]) == {"#1e1e1e"}


@pytest.mark.parametrize("broken", ["everything", "test"])
def test_nothing_to_show_is_no_error(root: Path, broken: str) -> None:
    """No test images; no readable image at all."""
    write_pack(root, "test", [])
    facts = tables.read(root / "data/prepare/test/facts.csv", contracts.FACTS)
    tables.write(facts.head(0), root / "data/prepare/test/facts.csv", contracts.FACTS)
    (root / "data/analyze/leaks.csv").write_text(",".join(contracts.LEAKS.columns) + "\n")
    if broken == "everything":
        labels = tables.read(root / "data/label/labels.csv", contracts.LABELS)
        tables.write(labels.assign(use="skip"), root / "data/label/labels.csv", contracts.LABELS)
        (root / "data/analyze/clusters.csv").write_text(",".join(contracts.CLUSTERS.columns) + "\n")
        write_pack(root, "train", [])
    picture.main(root=root)
    spread = tables.read(root / "data/picture/brightness.csv", plot_tables.SPREAD)
    assert set(spread["row"]) == ({"all of train: 4", "NA (2)", "福 (2)"} if broken == "test" else set())


def test_same_inputs_same_bytes(root: Path) -> None:
    picture.main(root=root)
    first = written(root)
    picture.main(root=root)
    assert written(root) == first


def test_dvc_plots_cover_every_output(root: Path) -> None:
    picture.main(root=root)
    paths = {
        path
        for name, plot in plots()
        for path in ([name] if plot is None else [p for axis in ("x", "y") for p in files(plot[axis])])
        if path.startswith("data/picture")
    }
    assert paths == {f"data/picture/{name}" for name in [*TABLES, *PICTURES, "classes"]}
    assert all((root / path).exists() for path in paths)


def test_templates_use_columns_of_their_tables(root: Path) -> None:
    """DVC draws an empty plot for a missing column."""
    picture.main(root=root)
    (root / "data/split").mkdir()
    (root / "data/split/balance.csv").write_text("fold,label,images\n0,NA,1\n")
    checked = set()
    for _name, plot in plots():
        if plot is None or not files(plot["x"]) or not (root / files(plot["x"])[0]).exists():
            continue
        path = files(plot["x"])[0]
        checked.add(path)
        columns = set(tables.read_text_csv(root / path).columns)
        text = (PROJECT / f".dvc/plots/{plot['template']}.json").read_text(encoding="utf-8")
        assert files(plot["y"]) == [path]
        assert {plot["x"][path], plot["y"][path]} <= columns
        assert '"values": "<DVC_METRIC_DATA>"' in text
        for anchor in ("TITLE", "X", "Y", "X_LABEL"):
            assert f'"<DVC_METRIC_{anchor}>"' in text
        computed = set(re.findall(r'"as": "(\w+)"', text))
        read = set(re.findall(r'"field": "(\w+)"', text)) | set(re.findall(r"datum\.(\w+)", text)) - {"label"}
        assert read <= columns | computed | {"rev"}
        parsed = json.loads(text)["data"]["format"]["parse"]
        assert set(parsed) <= columns
    assert checked == {f"data/picture/{name}" for name in TABLES} | {"data/split/balance.csv"}


def plots() -> list[tuple[str, dict[str, Any] | None]]:
    entries = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    return [next(iter(entry.items())) if isinstance(entry, dict) else (entry, None) for entry in entries]


def files(axis: str | dict[str, str]) -> list[str]:
    return list(axis) if isinstance(axis, dict) else []
