import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from stages import picture
from stages.lib import gallery, pixels, tables

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
         ("lost.png", "train", "unusable", "empty file", "")], columns=list(tables.FINDINGS.columns),
    )  # fmt: skip
    clusters = pd.DataFrame({"image_id": ["b.png", "福/1.png"], "cluster": "b.png"})
    tables.write(facts.sample(frac=1, random_state=0), tmp_path / "data/prepare/train/facts.csv", tables.FACTS)
    tables.write(labels, tmp_path / "data/label/labels.csv", tables.LABELS)
    tables.write(findings, tmp_path / "data/analyze/findings.csv", tables.FINDINGS)
    tables.write(clusters, tmp_path / "data/analyze/clusters.csv", tables.CLUSTERS)
    with pixels.Writer(tmp_path / "data/prepare/train/pixels.arrow", encoding="raw") as writer:
        for k, i in enumerate(ids):
            if i != "lost.png":
                writer.add(i, np.full((40, 50, 3), 30 * k, np.uint8))
    return tmp_path


def written(root: Path) -> dict[str, bytes]:
    folder = root / "data/picture"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_tables_and_pictures(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture.main(root=root)
    sheets = ["classes/0_na.png", "classes/2_class.png"]
    assert sorted(written(root)) == ["class_counts.csv", *sheets, "clusters.png", "findings.png", "sizes.csv"]
    counts = tables.read(root / "data/picture/class_counts.csv", gallery.CLASS_COUNTS)
    assert counts.to_numpy().tolist() == [["NA", 2, 1, "0_na.png"], ["gone", 0, 1, ""], ["福", 2, 0, "2_class.png"]]
    sizes = tables.read(root / "data/picture/sizes.csv", gallery.SIZES)
    assert dict(zip(sizes["image_id"], sizes["label"], strict=True)) == {
        i: IMAGES[i] for i in ["b.png", "c.png", "福/1.png", "福/2.png"]
    }
    assert set(sizes["aspect_ratio"]) == {1.25}
    for name in written(root):
        if name.endswith(".png"):
            with Image.open(root / "data/picture" / name) as image:
                image.load()
    assert "conflicting labels: b.png" in capsys.readouterr().out


def test_same_inputs_same_bytes(root: Path) -> None:
    picture.main(root=root)
    first = written(root)
    picture.main(root=root)
    assert written(root) == first


def test_dvc_plots_show_what_picture_writes(root: Path) -> None:
    picture.main(root=root)
    shown = set()
    for entry in yaml.safe_load((PROJECT / "dvc.yaml").read_text())["plots"]:
        name, plot = next(iter(entry.items())) if isinstance(entry, dict) else (entry, None)
        if plot is None:
            shown |= {name} if name.startswith("data/picture") else set()
            continue
        for axis in ("x", "y"):
            for path, column in plot[axis].items() if isinstance(plot[axis], dict) else []:
                if path.startswith("data/picture"):
                    shown.add(path)
                    assert column in tables.read_text_csv(root / path).columns
                    template = json.loads((PROJECT / f".dvc/plots/{plot['template']}.json").read_text())
                    assert template["encoding"][axis]["field"] == f"<DVC_METRIC_{axis.upper()}>"
    assert shown == {
        f"data/picture/{n}" for n in ("class_counts.csv", "sizes.csv", "clusters.png", "findings.png", "classes")
    }
    assert all((root / path).exists() for path in shown)
