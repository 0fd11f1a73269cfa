"""Which files of a folder are the contest's: lists, patterns, and ids that are no file names."""

import json
from pathlib import Path
from typing import Any

import pytest

from podium.contest import image_lists
from podium.contest.image_lists import ImageSelection
from podium.contest.list_settings import ImageLists
from podium.core import params
from podium.core.errors import InputError

FILES = ["Test_1.jpg", "Test_2.jpg", "Train_1.jpg", "p7/L_1.jpg", "p7/L_2.jpg", "p7/R_1.jpg"]


def select(root: Path, subset: str = "test", **settings: Any) -> ImageSelection:
    lists = params.parse(settings, "contest.lists", ImageLists)
    return image_lists.select(FILES, lists, subset, root, "c/images")


def put(root: Path, text: str, name: str = "list.csv") -> str:
    (root / name).write_text(text)
    return name


def test_without_a_list_every_file_is_an_image_and_its_own_id(tmp_path: Path) -> None:
    found = select(tmp_path)
    assert found.ids == {name: name for name in FILES}
    assert found.by_id == {}


def test_a_pattern_is_looked_for_in_the_path_and_may_hold_the_id(tmp_path: Path) -> None:
    assert list(select(tmp_path, "train", train_pattern="^Train_").ids) == ["Train_1.jpg"]
    found = select(tmp_path, test_pattern=r"(?P<id>[LR])_\d")
    assert found.by_id == {"L": ["p7/L_1.jpg", "p7/L_2.jpg"], "R": ["p7/R_1.jpg"]}
    with pytest.raises(InputError, match=r"test_pattern: x\{9\} fits no file"):
        select(tmp_path, test_pattern="x{9}")


@pytest.mark.parametrize("header", ["image_id,label\n", ""])
def test_a_list_names_images_as_labels_do(tmp_path: Path, header: str) -> None:
    found = select(tmp_path, test=put(tmp_path, f"{header}Test_2,0\nimages/Test_1.jpg,0\nlost,0\n"))
    assert list(found.ids) == ["Test_1.jpg", "Test_2.jpg"]
    assert found.missing == ("lost",)
    assert found.by_id == {}


def test_a_list_maps_ids_to_files_and_one_id_to_several(tmp_path: Path) -> None:
    rows = [{"prediction_id": "7_L", "file": "L_1.jpg"}, {"prediction_id": "7_L", "file": "L_2.jpg"},
            {"prediction_id": 8, "file": "R_1.jpg"}]  # fmt: skip
    name = put(tmp_path, json.dumps(rows), "test.json")
    found = select(tmp_path, test=name, id="prediction_id", file="file")
    assert found.by_id == {"7_L": ["p7/L_1.jpg", "p7/L_2.jpg"], "8": ["p7/R_1.jpg"]}


def test_the_train_list_may_call_its_ids_otherwise(tmp_path: Path) -> None:
    settings = {"train": put(tmp_path, "breed,img\nx,Train_1\n"), "test": put(tmp_path, "n,f\n7 ,Test_1\n", "t.csv")}
    settings |= {"id": "n", "file": "f", "train_id": "img"}
    assert select(tmp_path, "train", **settings).ids == {"Train_1.jpg": "Train_1.jpg"}
    assert select(tmp_path, "test", **settings).by_id == {"7": ["Test_1.jpg"]}


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        ("id\nnone\n", {}, "names no file of c/images, e.g. none"),
        ("id\nTest_1\n", {"id": "Id"}, r"list.csv: no column 'Id'; there are \['id'\]"),
        ("id,f\n1,Test_1\n2,Test_1\n", {"file": "f"}, r"row 3: Test_1.jpg has two ids: 1, 2"),
        ("id\n../x\n", {}, "row 2: id '../x' may leave"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path: Path, text: str, settings: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        select(tmp_path, test=put(tmp_path, text), **settings)
