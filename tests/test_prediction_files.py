import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from podium.core import tables
from podium.core.errors import InputError
from podium.predictions import prediction_files

CLASSES = ["a", "b", "c"]
IDS = [f"{i:02}.png" for i in range(12)]
FOLDS = [str(i % 3) for i in range(12)]
SIZES, VIEWS = [64, 80], ["identity", "hflip"]
AXES: dict[str, Any] = {"classes": CLASSES, "image_sizes": SIZES, "transforms": VIEWS}


def rows(subset: str) -> pd.DataFrame:
    """Every expected row in random order: out of fold for train, one per fold's model for test."""
    pairs = (
        list(zip(IDS, FOLDS, strict=True)) if subset == "train" else list(itertools.product(IDS, sorted(set(FOLDS))))
    )
    cells = [
        (image_id, subset, fold, size, transform) for (image_id, fold) in pairs for size in SIZES for transform in VIEWS
    ]
    table = pd.DataFrame(cells, columns=list(tables.PREDICTIONS.columns))
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(len(CLASSES)), len(table)).astype(np.float32)
    table = table.assign(**{f"p:{name}": probs[:, i] for i, name in enumerate(CLASSES)})
    return table.sample(frac=1, random_state=0, ignore_index=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "member.parquet"


def save(table: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)
    return path


def read_train(path: Path, **changes: Any) -> np.ndarray:
    return prediction_files.read_train([path], **{"image_ids": IDS, "folds": FOLDS, **AXES, **changes})


def read_test(path: Path, **changes: Any) -> np.ndarray:
    return prediction_files.read_test(path, **{"image_ids": IDS, "fold": "1", **AXES, **changes})


def test_rows_are_joined_by_id_whatever_their_order(path: Path) -> None:
    table = rows("train")
    save(pd.concat([table, rows("test")]), path)
    read = read_train(path)
    assert read.dtype == np.float32
    cells = table.set_index(["image_size", "transform", "image_id"])[["p:a", "p:b", "p:c"]]
    for s, v, i in itertools.product(range(2), range(2), range(12)):
        np.testing.assert_array_equal(read[s, v, i], cells.loc[(SIZES[s], VIEWS[v], IDS[i])])


def test_the_order_of_the_arguments_is_that_of_the_result(path: Path) -> None:
    save(rows("train"), path)
    turned = read_train(path, image_ids=IDS[::-1], folds=FOLDS[::-1], image_sizes=[80, 64], classes=["c", "a", "b"])
    np.testing.assert_array_equal(turned, read_train(path)[::-1, :, ::-1][..., [2, 0, 1]])


def test_test_predictions_are_those_of_one_folds_model(path: Path) -> None:
    table = rows("test")
    save(pd.concat([rows("train"), table]), path)
    cells = table.set_index(["fold", "image_size", "transform", "image_id"])[["p:a", "p:b", "p:c"]]
    for fold, sizes in itertools.product("012", (SIZES, [80])):
        read = read_test(path, fold=fold, image_sizes=sizes)
        assert read.shape == (len(sizes), 2, 12, 3)
        for s, v, i in itertools.product(range(len(sizes)), range(2), range(12)):
            np.testing.assert_array_equal(read[s, v, i], cells.loc[(fold, sizes[s], VIEWS[v], IDS[i])])


@pytest.mark.parametrize(
    "by", [["image_id"], ["subset", "fold", "image_size", "transform"], ["transform", "image_size"]]
)
@pytest.mark.parametrize("layout", [{"row_group_size": 7}, {"row_group_size": 16}, {"write_statistics": False}])
def test_how_rows_lie_in_the_file_changes_nothing(layout: dict[str, Any], by: list[str], path: Path) -> None:
    table = pd.concat([rows("train"), rows("test")])
    save(table, path)
    given = [read_train(path), read_train(path, image_sizes=[80]), read_test(path), read_test(path, image_sizes=[64])]
    table.sort_values(by).to_parquet(path, index=False, **layout)
    read = [read_train(path), read_train(path, image_sizes=[80]), read_test(path), read_test(path, image_sizes=[64])]
    for one, other in zip(given, read, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_row_without_a_fold_is_no_prediction(path: Path) -> None:
    table = rows("test")
    table["fold"] = table["fold"].where(table["image_id"] != "03.png", None)
    table.sort_values(["image_id", "fold"]).to_parquet(path, index=False, row_group_size=4)
    with pytest.raises(InputError, match=r"no prediction for 03\.png"):
        read_test(path)


def test_no_test_images_is_an_empty_result(path: Path) -> None:
    assert read_test(save(rows("train"), path), image_ids=[]).shape == (2, 2, 0, 3)


def test_files_of_the_folds_are_read_as_one(path: Path) -> None:
    table = rows("train")
    paths = [save(table[table["fold"] == fold], path.parent / f"{fold}.parquet") for fold in "012"]
    together = prediction_files.read_train(paths, image_ids=IDS, folds=FOLDS, **AXES)
    np.testing.assert_array_equal(together, read_train(save(table, path)))


def drop_one(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["image_id"] != "03.png") | (table["image_size"] != 80) | (table["transform"] != "hflip")]


def repeat_one(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table[table["image_id"] == "03.png"]])


def strange_image(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table[:1].assign(image_id="new.png")])


def other_fold(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(fold=table["fold"].where(table["image_id"] != "03.png", "1"))


def strange_fold(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(fold=table["fold"].where(table["image_id"] != "03.png", "old"))


def set_probability(value: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{"p:b": table["p:b"].where(table["image_id"] != "03.png", np.float32(value))})

    return change


FAULTS: list[tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = [
    (drop_one, r"no prediction for 03\.png;"),
    (repeat_one, r"several predictions for 03\.png;"),
    (strange_image, r"nobody asked for: new\.png"),
    (set_probability(float("nan")), r"sum to 1: 03\.png;"),
    (set_probability(float("inf")), r"sum to 1: 03\.png;"),
    (set_probability(-0.5), r"sum to 1: 03\.png;"),
    (set_probability(1.5), r"sum to 1: 03\.png;"),
    (lambda table: table.drop(columns="p:c"), "3 classes: p:c"),
    (lambda table: table.rename(columns={"p:c": "p:d"}), "3 classes: p:c, p:d"),
    (lambda table: table.assign(transform="upside down"), "nobody asked for: upside down"),
]


@pytest.mark.parametrize(
    ("change", "words"),
    [*FAULTS, (other_fold, r"another fold predicted 03\.png;"), (strange_fold, "nobody asked for: old")],
)
def test_faulty_train_predictions_are_refused(change: Any, words: str, path: Path) -> None:
    save(change(rows("train")), path)
    with pytest.raises(InputError, match=words) as caught:
        read_train(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("change", "words"), [*FAULTS, (strange_fold, r"no prediction for 03\.png;")])
def test_faulty_test_predictions_are_refused(change: Any, words: str, path: Path) -> None:
    save(change(rows("test")), path)
    with pytest.raises(InputError, match=words):
        read_test(path)


def test_a_missing_or_broken_file_is_named(path: Path) -> None:
    with pytest.raises(InputError, match=r"member\.parquet: cannot be read"):
        read_train(path)
    path.write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"member\.parquet: cannot be read"):
        read_train(path)


def test_a_damaged_file_is_named(path: Path) -> None:
    save(rows("train"), path)
    whole = path.read_bytes()
    for place in range(4, len(whole) - 1000, 150):
        path.write_bytes(whole[:place] + b"\xff" * 40 + whole[place + 40 :])
        with suppress(InputError):  # nothing else is raised
            read_train(path)


def test_a_column_of_another_type_is_named(path: Path) -> None:
    save(rows("train").astype({"image_size": "str"}), path)
    with pytest.raises(InputError, match=r"member\.parquet: "):
        read_train(path)
