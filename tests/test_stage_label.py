"""The stage `label`: what it reads and writes, and that it is quick to import."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.core import tables
from podium.core.errors import InputError
from podium.core.placeholders import NO_FILE
from stages import label

IMAGES = [f"{name}.jpg" for name in "abcdef"]
CONTEST = {
    "images": {"train": "c/train", "test": "c/test"},
    "labels": "c/labels.csv",
    "columns": {"id": "name", "label": "kind", "group": "site"},
    "overrides": "c/overrides.csv",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path, contest=CONTEST, labels="name,kind,site\na,x,1\nb,y,1\nc,x,2\nd,\nlost,x,3\nf,y,\n")
    (tmp_path / "c/overrides.csv").write_text("image_id,action,reason\nc,y,looks like y\nb,drop,blurred\n")
    return tmp_path


def put(root: Path, contest: dict, labels: str = "", images: list[str] = IMAGES, unreadable: str = "f.jpg") -> None:
    (root / "c").mkdir(exist_ok=True)
    (root / "params.yaml").write_text(yaml.safe_dump({"contest": contest}))
    (root / "c/labels.csv").write_text(labels)
    facts = pd.DataFrame({"image_id": images, "width": 8, "height": 8, "mode": "RGB", "format": "JPEG", "bytes": 9})
    facts = facts.assign(sha256="0", problem=["truncated" if i == unreadable else "" for i in images], note="")
    tables.write(facts, root / "data/prepare/train/facts.csv", contracts.FACTS)


def rows(root: Path) -> list[list[str]]:
    return tables.read(root / "data/label/labels.csv", contracts.LABELS).to_numpy().tolist()


def test_labels_overrides_and_facts_meet(root, capsys):
    label.main(root=root)
    assert rows(root) == [
        ["a.jpg", "x", "train", "", "1", ""],
        ["b.jpg", "y", "skip", "override: blurred", "1", ""],
        ["c.jpg", "y", "train", "override: looks like y", "2", ""],
        ["d.jpg", "", "skip", "empty label", "", ""],
        ["e.jpg", "", "skip", "no label", "", ""],
        ["f.jpg", "y", "skip", "truncated", "", ""],
    ]
    problems = tables.read(root / "data/label/problems.csv", contracts.PROBLEMS)
    assert dict(problems.to_numpy().tolist()) == {
        "d.jpg": "skipped: empty label",
        "e.jpg": "skipped: no label",
        "f.jpg": "skipped: truncated",
        "lost": "labels.csv: row 6: there is no such image",
    }
    assert tables.read_json(root / "data/label/summary.json") == {
        "images": 6,
        "labelled": 4,
        "used": 2,
        "skipped": {"empty label": 1, "no label": 1, "override": 1, "unreadable": 1},
        "overrides": {"relabelled": 1, "dropped": 1, "confirmed": 0, "without effect": 0},
        "classes": {"x": 1, "y": 1},
    }
    printed = capsys.readouterr().out
    assert "2 of 6 images are used; 2 classes: x 1, y 1" in printed
    assert all(f"label: {row[0]}: {row[1]}" in printed for row in problems.to_numpy())


def test_the_same_inputs_give_the_same_bytes(root):
    files = ["labels.csv", "overrides_applied.csv", "problems.csv", "summary.json"]
    label.main(root=root)
    first = [(root / "data/label" / name).read_bytes() for name in files]
    text = (root / "c/labels.csv").read_text().splitlines()
    label.main(root=root)
    assert [(root / "data/label" / name).read_bytes() for name in files] == first
    (root / "c/labels.csv").write_text("\n".join([text[0], *text[:0:-1]]) + "\n")
    label.main(root=root)
    assert [(root / "data/label" / name).read_bytes() for name in files[:2]] == first[:2]


def test_confirming_a_label_changes_overrides_applied_and_no_label(root):
    label.main(root=root)
    labels = (root / "data/label/labels.csv").read_bytes()
    with (root / "c/overrides.csv").open("a") as opened:
        opened.write("a,x,looked at it\n")
    label.main(root=root)
    assert (root / "data/label/labels.csv").read_bytes() == labels
    assert tables.read(root / "data/label/overrides_applied.csv", contracts.OVERRIDES_APPLIED).to_numpy().tolist() == [
        ["a.jpg", "x", "x", "confirmed"],
        ["b.jpg", "y", "drop", "dropped"],
        ["c.jpg", "x", "y", "relabelled"],
    ]


def test_a_folder_per_class(tmp_path):
    contest = {"images": CONTEST["images"], "layout": "folders", "overrides": NO_FILE}
    put(tmp_path, contest, images=["ant/a.jpg", "bee/a.jpg", "bee/b.jpg", "top.jpg"], unreadable="bee/b.jpg")
    (tmp_path / "placeholders").mkdir()
    (tmp_path / NO_FILE).touch()
    label.main(root=tmp_path)
    assert [row[:4] for row in rows(tmp_path)] == [
        ["ant/a.jpg", "ant", "train", ""],
        ["bee/a.jpg", "bee", "train", ""],
        ["bee/b.jpg", "bee", "skip", "truncated"],
        ["top.jpg", "", "skip", "no label"],
    ]


def test_numbers_are_one_class(root):
    put(root, {**CONTEST, "label_type": "number"}, "name,kind,site\na,1,\nb,1.0,\nc,0,\nd,00,\ne,1,\nf,1,\n")
    (root / "c/overrides.csv").write_text("image_id,action,reason\na,0.0,\n")
    label.main(root=root)
    assert [row[1] for row in rows(root)] == ["0", "1", "0", "0", "1", "1"]


def test_problems_beyond_a_screenful_are_counted(root, capsys):
    images = [f"{n:03}.jpg" for n in range(60)]
    (root / "c/overrides.csv").write_text("image_id,action,reason\n")
    put(root, CONTEST, "name,kind,site\n000,x,\n001,y,\n", images)
    label.main(root=root)
    assert f"label: {60 - 2 - label.SHOWN} more in data/label/problems.csv" in capsys.readouterr().out


def test_one_class_alone_is_refused_and_nothing_is_written(root):
    put(root, CONTEST, "name,kind,site\na,x,\nb,x,\n")
    (root / "c/overrides.csv").write_text("image_id,action,reason\n")
    with pytest.raises(InputError, match="only one class, 'x'"):
        label.main(root=root)
    assert not (root / "data/label").exists()


def test_it_imports_no_torch():
    code = "import stages.label, podium.contest.submission, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_classes_that_a_spreadsheet_would_run_are_warned_of(tmp_path, capsys):
    put(tmp_path, contest={**CONTEST, "overrides": NO_FILE}, labels="name,kind,site\na,=1+1,1\nb,-1,1\n")
    label.main(root=tmp_path)
    assert "start like a formula: =1+1;" in capsys.readouterr().out
