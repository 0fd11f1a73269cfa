"""Labels of contests where an image has a set of them: cells, columns, overrides, settings."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from podium.contest import label_sources, labels, lost_images, submission
from podium.contest.ids import ImageIndex
from podium.contest.label_sources import TrainFiles
from podium.contest.settings import ContestSettings
from podium.core import params, targets
from podium.core.errors import InputError
from podium.preflight.settings import Podium
from tests.graph import PROJECT

IMAGES = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
CELLS = "id,label\na,scab rust\nb, rust\nc,\nd,rust scab  scab\nz,complex\n"
COLUMNS = "id,ETT,CVC\na,1,1\nb,0,1.0\nc,,\nd,0,0\n"
NONE = "placeholders/none.csv"


def contest(**changes: Any) -> ContestSettings:
    values: dict[str, Any] = {"images": {"train": "train", "test": "test"}, "labels": "labels.csv", "task": "labels"}
    values |= {"columns": {"id": "id", "label": "label", "separator": " "}, "submission": {"values": "labels"}}
    return params.parse(values | changes, "contest", ContestSettings)


def read(root: Path, text: str, **changes: Any) -> labels.GivenLabels:
    (root / "labels.csv").write_text(text)
    return label_sources.read(TrainFiles(IMAGES), contest(**changes), root)


def cells(given: labels.GivenLabels) -> list[str]:
    return list(given.table["label"])


def test_cells_are_split_and_an_empty_one_is_no_label(tmp_path: Path) -> None:
    given = read(tmp_path, CELLS)
    assert cells(given) == ["{rust|scab}", "{rust}", "", "{rust|scab}"]
    assert given.without_image == {"{complex}": 1}
    joined = labels.join(pd.DataFrame({"image_id": IMAGES, "problem": ""}), given.table, no_overrides())
    assert labels.require_classes(joined.labels) == {"rust": 3, "scab": 2}
    assert lost_images.classes(given, joined, ()) == {"complex": {"without an image": 1}}


def test_columns_of_0_and_1_make_sets_and_a_row_of_zeros_is_an_empty_one(tmp_path: Path) -> None:
    columns = {"id": "id", "label": ["ETT", "CVC"]}
    for text in (COLUMNS, COLUMNS.replace("c,,", "c, , "), COLUMNS.replace("a,1,1", "a,True,true")):
        assert cells(read(tmp_path, text, columns=columns)) == ["{CVC|ETT}", "{CVC}", "", "{}"]
    with pytest.raises(InputError, match="'2' is neither 0 nor 1"):
        read(tmp_path, COLUMNS.replace("1.0", "2"), columns=columns)
    with pytest.raises(InputError, match=r"several of the columns.*task: labels"):
        read(tmp_path, COLUMNS, task="classes", columns=columns, submission={})


def test_numbers_have_one_spelling_and_labels_can_be_renamed(tmp_path: Path) -> None:
    text = "id,label\na,1 02\nb,1.0\nc,2\nd,1\n"
    assert cells(read(tmp_path, text, label_type="number")) == ["{1|2}", "{1}", "{2}", "{1}"]
    with pytest.raises(InputError, match="same number"):
        read(tmp_path, text)
    merged = {"id": "id", "label": "label", "separator": " ", "classes": {"scab": "rust"}}
    assert cells(read(tmp_path, CELLS, columns=merged)) == ["{rust}", "{rust}", "", "{rust}"]


def test_what_podiums_tables_could_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"hold '\|': x\|y.*separator"):
        read(tmp_path, "id,label\na,x|y z\nb,z\n")
    folder_labels = TrainFiles(["{a|b}/1.jpg", "c/2.jpg"])
    plain = {"task": "classes", "columns": {}, "submission": {}, "layout": "folders", "labels": NONE}
    with pytest.raises(InputError, match="in braces"):
        label_sources.read(folder_labels, contest(**plain), tmp_path)


def no_overrides() -> pd.DataFrame:
    return pd.DataFrame({"image_id": [], "action": [], "reason": []}, dtype="str")


def test_an_override_names_a_whole_set(tmp_path: Path) -> None:
    given = read(tmp_path, CELLS)
    path = tmp_path / "overrides.csv"
    path.write_text("image_id,action,reason\na,{scab|rust},same\nb,{scab},seen\nd,drop,blurry\n")
    known = label_sources.class_names(given)
    overrides = labels.read_overrides(path, images=ImageIndex(IMAGES), classes=known)
    joined = labels.join(pd.DataFrame({"image_id": IMAGES, "problem": ""}), given.table, overrides)
    assert list(joined.labels["label"]) == ["{rust|scab}", "{scab}", "", "{rust|scab}"]
    assert joined.overrides == {"relabelled": 1, "dropped": 1, "confirmed": 1, "without effect": 0}
    path.write_text("image_id,action,reason\na,scab,\nb,{mold},\n")
    with pytest.raises(InputError, match=r"'scab' is neither(.|\n)*'\{mold\}' is neither"):
        labels.read_overrides(path, images=ImageIndex(IMAGES), classes=known)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "classes"}, r"columns.separator is for images with several labels"),
        ({"task": "classes", "columns": {}}, r"submission.values: labels is for images with several labels"),
        ({"columns": {"id": "id", "label": "label"}}, r"columns.separator"),
        ({"columns": {"label": ["a", "b"], "separator": " "}}, r"columns of 0 and 1; or one column"),
        ({"layout": "folders"}, "needs layout: csv"),
        ({"whole_labels": ["a b"]}, "whole_labels has no effect with task: labels"),
        ({"submission": {}}, "submission: with task: labels"),
        ({"submission": {"values": "probabilities", "positive": "a"}}, "no positive"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        contest(**changes)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("members.tiny.finetune.loss", "cross_entropy"),
        ("members.tiny.finetune.class_weights", "balanced"),
        ("members.tiny.pretrain.sampler", "balanced"),
        ("members.tiny.pretrain.loss", "logit_adjusted"),
        ("ensemble.method", "ranks"),
        ("ensemble.leaked_labels", "exact"),
        ("pseudo", {"tiny": {"epochs": 1, "lr": 0.1}}),
        ("external", {"theirs": {"oof": "oof.csv", "test": NONE}}),
    ],
)
def test_what_sets_of_labels_lack_is_refused_with_its_key(key: str, value: Any) -> None:
    values = params.read(PROJECT)
    name = next(iter(values["members"]))
    values["contest"] |= {"task": "labels", "layout": "csv", "metric": "column_auc"}
    values["contest"] |= {"columns": {"separator": " "}, "submission": {"values": "labels"}}
    values |= {"pseudo": {}, "distill": {}, "external": {}, "members": {"tiny": values["members"][name]}, "fixres": {}}
    for phase in ("pretrain", "finetune"):
        for setting in ("loss", "class_weights", "sampler"):
            values["members"]["tiny"][phase].pop(setting, None)
    params.parse(values, "", Podium)
    *parents, last = key.split(".")
    section = values
    for parent in parents:
        section = section[parent]
    section[last] = value
    with pytest.raises(InputError, match=rf"{key}.*not for sets of labels"):
        params.parse(values, "", Podium)


def test_a_submission_writes_sets_or_each_labels_probability(tmp_path: Path) -> None:
    probs = pd.DataFrame({"image_id": ["x.jpg", "y.jpg"], "p:rust": [0.9, 0.2], "p:scab": [0.8, 0.4]})

    def written(fewest: int, **form: Any) -> list[str]:
        settings = contest(submission=form).submission
        submission.write(
            tmp_path / "s.csv", test_probs=probs, prior={"rust": 0.5, "scab": 0.3}, template=None,
            test_ids=["x.jpg", "y.jpg", "z.jpg"], id_column="id", label_column="labels", values=settings.values,
            header="template", labels="template", positive=None, settings=settings, fewest_labels=fewest,
        )  # fmt: skip
        return (tmp_path / "s.csv").read_text().splitlines()

    unpredicted = "rust"  # of the image that was not readable: the prior's likeliest label
    assert written(1, values="labels") == ["id,labels", "x.jpg,rust scab", "y.jpg,scab", f"z.jpg,{unpredicted}"]
    assert written(0, values="labels", separator=";")[1:] == ["x.jpg,rust;scab", "y.jpg,", "z.jpg,"]
    assert written(0, values="probabilities") == ["id,rust,scab", "x.jpg,0.9,0.8", "y.jpg,0.2,0.4", "z.jpg,0.5,0.3"]


def test_sets_are_found_in_the_table_that_split_writes() -> None:
    assert targets.are_sets(targets.class_names(["{a}", "{a|b}"]))
    assert not targets.are_sets(targets.class_names(["a", "b"]))
