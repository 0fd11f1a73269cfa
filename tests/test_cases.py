"""Several images of one case: one group, one label, and the mean of their predictions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium import contracts
from podium.contest import cases, label_sources
from podium.contest.label_sources import TrainFiles
from podium.contest.settings import ContestSettings
from podium.core import params, tables
from podium.core.errors import InputError
from podium.predictions import case_means
from tests import miniatures

IMAGES = [f"p{patient}/{side}{view}.png" for patient in range(3) for side in "LR" for view in range(2)]


def contest(**columns: object) -> ContestSettings:
    section = {"images": {"train": "c/train", "test": "placeholders/empty"}, "labels": "c/t.csv", "columns": columns}
    return params.parse(section, "contest", ContestSettings)


def write(root: Path, label: str = "{patient}") -> None:
    rows = []
    for image in IMAGES:
        patient, side = image[1], image[3]
        rows.append(f"{image},{patient},{side},{label.format(patient=int(patient) % 2, view=image[4])}")
    miniatures.csv(root, "c/t.csv", "id,patient,side,label", *rows)


def test_the_images_of_a_case_are_a_group_and_several_columns_name_a_case(tmp_path: Path) -> None:
    write(tmp_path)
    c = contest(id="id", label="label", case=["patient", "side"])
    found = label_sources.read(TrainFiles(IMAGES), c, tmp_path).table
    assert found["group"].nunique() == 6
    assert found.groupby(found["image_id"].str[:4])["group"].nunique().eq(1).all()
    wider = contest(id="id", label="label", case=["patient", "side"], group="patient")
    assert set(label_sources.read(TrainFiles(IMAGES), wider, tmp_path).table["group"]) == {"0", "1", "2"}
    assert cases.read(IMAGES, c, tmp_path)["p1/R0.png"] == "1/R"


def test_a_case_has_one_label_and_one_group(tmp_path: Path) -> None:
    write(tmp_path, label="{view}")
    with pytest.raises(InputError, match="several labels"):
        label_sources.read(TrainFiles(IMAGES), contest(id="id", label="label", case="patient"), tmp_path)
    write(tmp_path)
    crossing = contest(id="id", label="label", case="patient", group="side")
    with pytest.raises(InputError, match="several groups"):
        label_sources.read(TrainFiles(IMAGES), crossing, tmp_path)
    with pytest.raises(InputError, match="'breast'"):
        label_sources.read(TrainFiles(IMAGES), contest(id="id", label="label", case="breast"), tmp_path)


def test_an_id_that_names_a_folder_means_all_images_in_it(tmp_path: Path) -> None:
    miniatures.csv(tmp_path, "c/t.csv", "id,label", "p0,x", "p1,y", "p2,x")
    c = contest(id="id", label="label", case="id")
    found = label_sources.read(TrainFiles(IMAGES), c, tmp_path).table
    assert dict(zip(found["image_id"], found["label"], strict=True)) == {i: "xyx"[int(i[1])] for i in IMAGES}
    assert cases.read(IMAGES, c, tmp_path) == {image: image[:2] for image in IMAGES}


def test_blanks_around_the_id_of_a_folder_change_nothing(tmp_path: Path) -> None:
    miniatures.csv(tmp_path, "c/t.csv", "id,label", "p0 ,x", " p1,y", "p2,x")
    c = contest(id="id", label="label", case="id")
    assert len(label_sources.read(TrainFiles(IMAGES), c, tmp_path).table) == len(IMAGES)
    assert set(cases.read(IMAGES, c, tmp_path).values()) == {"p0", "p1", "p2"}


def test_an_image_of_two_cases_is_refused(tmp_path: Path) -> None:
    miniatures.csv(tmp_path, "c/t.csv", "id,label,case", "p0/L0.png,x,1", "p0/L1.png,x,1", "p0/L1.png,x,2")
    with pytest.raises(InputError, match=r"t.csv: row 4: p0/L1.png has two cases: 1, 2"):
        label_sources.read(TrainFiles(IMAGES), contest(id="id", label="label", case="case"), tmp_path)


def test_overrides_leave_a_case_one_label() -> None:
    table = pd.DataFrame({"image_id": ["a", "b", "c"], "label": ["x", "y", "x"], "use": ["train", "train", "skip"]})
    cases.require_one_label(table, {"a": "1", "b": "2", "c": "2"})
    with pytest.raises(InputError, match=r"contest.overrides: 1 cases get several labels, e.g. '1': a x, b y"):
        cases.require_one_label(table, {"a": "1", "b": "1", "c": "1"})


def test_a_pattern_may_name_the_case(tmp_path: Path) -> None:
    section = {
        "images": {"train": "c/train", "test": "placeholders/empty"},
        "layout": "names",
        "columns": {"pattern": r"^(?P<case>p\d)/(?P<label>[LR])"},
    }
    c = params.parse(section, "contest", ContestSettings)
    assert cases.read(IMAGES, c, tmp_path)["p1/R0.png"] == "p1"
    with pytest.raises(InputError, match="several labels"):
        label_sources.read(TrainFiles(IMAGES), c, tmp_path)


def test_every_image_gets_the_mean_of_its_case_and_others_stay(tmp_path: Path) -> None:
    folds = pd.DataFrame({"image_id": ["a", "b", "c", "d"]}, dtype="str")
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], 4).astype(np.float32)
    assert case_means.averaged(probs, case_means.with_cases(folds, tmp_path)) is probs
    table = pd.DataFrame({"image_id": ["a", "c"], "case": "b"}, dtype="str")
    tables.write(table, tmp_path / "data/label/cases.csv", contracts.CASES)
    found = case_means.averaged(probs, case_means.with_cases(folds, tmp_path))
    np.testing.assert_allclose(found[[0, 2]], np.repeat((probs[[0]] + probs[[2]]) / 2, 2, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(found[[1, 3]], probs[[1, 3]])  # the case b is not the image b


def test_rows_of_several_labels_of_an_image_stay_apart() -> None:
    probs = np.arange(8, dtype=np.float32).reshape(4, 2)  # two images of two labels
    np.testing.assert_array_equal(case_means.over(probs, ["x", "x"]), [[2, 3], [4, 5], [2, 3], [4, 5]])
