"""The stage `label`: what it reads and writes."""

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
        "labels_without_image": 1,
        "lost_classes": {},
        "warnings": [
            "1 of 5 labels have no image; the download may be incomplete (data/label/problems.csv)",
        ],
    }
    printed = capsys.readouterr().out
    assert "2 of 6 train images have a label and can be used; 2 classes: x 1, y 1" in printed
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


def test_a_broken_off_download_is_warned_of_and_one_that_lost_most_images_is_refused(root, capsys):
    rows = "".join(f"{n:02},{'xyz'[n // 30]},\n" for n in range(90))
    images = [f"{n:02}.jpg" for n in range(34)]
    (root / "c/overrides.csv").write_text("image_id,action,reason\n")
    put(root, CONTEST, f"name,kind,site\n{rows}", images)
    with pytest.raises(InputError, match=r"of 90 labels 56 have no image in .*labels\.csv: row 36.* to 0\.63 or more"):
        label.main(root=root)
    put(root, {**CONTEST, "max_missing": 0.63}, f"name,kind,site\n{rows}", images)
    label.main(root=root)
    summary = tables.read_json(root / "data/label/summary.json")
    assert summary["labels_without_image"] == 56
    assert summary["lost_classes"] == {"z": {"without an image": 30}}
    printed = capsys.readouterr().out
    assert [f"label: WARNING: {warning}" in printed for warning in summary["warnings"]] == [True, True]
    assert "'z' (30 without an image)" in summary["warnings"][1]


def test_what_programs_write_for_a_missing_label_is_warned_of(root):
    (root / "c/overrides.csv").write_text("image_id,action,reason\n")
    put(root, CONTEST, "name,kind,site\na,x,\nb,y,\nc,nan,\nd,NA,\ne,,\n")
    label.main(root=root)
    (warning,) = tables.read_json(root / "data/label/summary.json")["warnings"]
    assert "'nan'" in warning
    assert "'NA'" not in warning


def test_unreadable_images_count_as_missing(root):
    put(root, CONTEST, "name,kind,site\na,x,\nb,y,\n")
    (root / "c/overrides.csv").write_text("image_id,action,reason\n")
    facts = tables.read(root / "data/prepare/train/facts.csv", contracts.FACTS)
    tables.write(facts.assign(problem="empty file"), root / "data/prepare/train/facts.csv", contracts.FACTS)
    with pytest.raises(InputError, match=r"2 have an unreadable one: a\.jpg, b\.jpg"):
        label.main(root=root)


TEMPLATES = {
    "a column": ("name,x,y,rare\nt,0,0,0\n", {"values": "probabilities"}),
    "a number's column": ("name,x,y,3.0\nt,0,0,0\n", {"values": "probabilities"}),
    "positive": ("name,p\nt,0\n", {"values": "probabilities", "positive": "rare"}),
}
LOST = {
    "overrides": "image_id,action,reason\ne,drop,\nf,x,\n",
    "unreadable": "image_id,action,reason\ne,drop,\n",
}


@pytest.mark.parametrize("cause", LOST)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_class_without_images_that_the_submission_needs_is_refused_here_and_has_a_way_out(root, template, cause):
    text, submission = TEMPLATES[template]
    name = "3" if "3.0" in text else "rare"
    contest = {**CONTEST, "template": "c/template.csv", "submission": submission}
    labels = f"name,kind,site\na,x,\nb,y,\nc,x,\nd,y,\ne,{name},\nf,{name},\n"
    put(root, contest, labels, unreadable="f.jpg" if cause == "unreadable" else "")
    (root / "c/template.csv").write_text(text)
    (root / "c/overrides.csv").write_text(LOST[cause])
    if "positive" in submission:
        with pytest.raises(InputError, match=r"contest\.submission\.positive: 'rare' is none of the classes x, y"):
            label.main(root=root)
        submission = {**submission, "positive": "x"}
    else:
        with pytest.raises(InputError, match=rf'contest.submission.absent: \["{name}'):
            label.main(root=root)
        submission = {**submission, "absent": [3 if name == "3" else name]}
    put(root, {**contest, "submission": submission}, labels, unreadable="f.jpg" if cause == "unreadable" else "")
    label.main(root=root)
    lost = tables.read_json(root / "data/label/summary.json")["lost_classes"]
    last = "unreadable" if cause == "unreadable" else "relabelled by an override"
    assert lost == {name: {"dropped by an override": 1, last: 1}}


def test_a_template_s_label_that_is_no_class_is_warned_of_and_settled(root):
    contest = {**CONTEST, "template": "c/template.csv"}
    put(root, contest, "name,kind,site\na,FALSE,\nb,TRUE,\n")
    (root / "c/overrides.csv").write_text("image_id,action,reason\n")
    (root / "c/template.csv").write_text("name,kind\nt,False\nu,True\n")

    def warnings(**submission: object) -> list[str]:
        put(root, {**contest, "submission": submission}, "name,kind,site\na,FALSE,\nb,TRUE,\n")
        label.main(root=root)
        return [w for w in tables.read_json(root / "data/label/summary.json")["warnings"] if "template" in w]

    (warning,) = warnings()
    assert "'False', 'True' are no classes" in warning
    assert 'contest.submission.names: {"FALSE": "False", "TRUE": "True"}' in warning
    assert warnings(names={"FALSE": "False", "TRUE": "True"}) == warnings(labels="given") == []
    (root / "c/template.csv").write_text("name,kind\nt,0\nu,0\n")
    assert "'0' are no classes" in warnings()[0]


def test_empty_class_folders_and_files_that_are_no_images_are_no_classes(tmp_path):
    contest = {"images": CONTEST["images"], "layout": "folders", "overrides": NO_FILE}
    put(tmp_path, contest, images=["ant/a.jpg", "bee/a.jpg", "notes/README.txt"], unreadable="")
    facts = tables.read(tmp_path / "data/prepare/train/facts.csv", contracts.FACTS)
    facts.loc[2, "problem"] = f"{contracts.NOT_AN_IMAGE}: words"
    tables.write(facts, tmp_path / "data/prepare/train/facts.csv", contracts.FACTS)
    for name in ("ant", "bee", "cow", "notes", ".git"):
        (tmp_path / "c/train" / name).mkdir(parents=True)
    (tmp_path / "placeholders").mkdir()
    (tmp_path / NO_FILE).touch()
    label.main(root=tmp_path)
    assert [row[1] for row in rows(tmp_path)] == ["ant", "bee"]
    (warning,) = tables.read_json(tmp_path / "data/label/summary.json")["warnings"]
    assert "'cow', 'notes'" in warning


def test_classes_that_a_spreadsheet_would_run_are_warned_of(tmp_path, capsys):
    put(tmp_path, contest={**CONTEST, "overrides": NO_FILE}, labels="name,kind,site\na,=1+1,1\nb,-1,1\n")
    label.main(root=tmp_path)
    assert "start like a formula: =1+1;" in capsys.readouterr().out
