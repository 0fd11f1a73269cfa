from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.core import tables
from podium.core.errors import InputError

EXAMPLE = tables.Contract({"image_id": "text", "label": "text", "value": "float", "count": "int"})


def example() -> pd.DataFrame:
    return pd.DataFrame(
        {"image_id": ["0012", 'b,"q"\n'], "label": ["NA", ""], "value": [0.1, float("nan")], "count": [1, 2]}
    )


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_comes_back_as_it_was_written(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "new" / f"t.{ending}"
    tables.write(example(), path, EXAMPLE)
    pd.testing.assert_frame_equal(tables.read(path, EXAMPLE), example())


@pytest.mark.parametrize("text", ["x\ry", "x\r\ny", "\r", "\r,train,,"])
def test_a_carriage_return_makes_no_row(tmp_path: Path, text: str) -> None:
    """A cell of a spreadsheet may hold one, e.g. in the reason of an override."""
    table = example().assign(label=[text, "b"])
    tables.write(table, tmp_path / "t.csv", EXAMPLE)
    pd.testing.assert_frame_equal(tables.read(tmp_path / "t.csv", EXAMPLE), table)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_same_table_same_bytes(tmp_path: Path, ending: str) -> None:
    for name in ("a", "b"):
        tables.write(example(), tmp_path / f"{name}.{ending}", EXAMPLE)
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_missing_unknown_and_double_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for table, words in [
        (example().drop(columns="label"), "label"),
        (example().assign(other=1), "other"),
        (example().assign(image_id="x"), "twice: x"),
    ]:
        with pytest.raises(InputError, match=words):
            tables.write(table, path, EXAMPLE)
    assert not path.exists()


def test_class_columns_are_allowed_besides_a_contract(tmp_path: Path) -> None:
    tables.write(example().assign(**{"p:image_id": 0.5}), tmp_path / "t.parquet", EXAMPLE)
    assert tables.class_names(tables.read(tmp_path / "t.parquet", EXAMPLE)) == ["image_id"]


def test_hundreds_of_classes_are_put_beside_rows_without_a_warning() -> None:
    rows = pd.DataFrame({"image_id": ["b", "a"]}, index=[7, 3])
    probs = np.arange(400, dtype=np.float32).reshape(2, 200)
    table = tables.with_probs(rows, probs, [str(i) for i in range(200)])
    assert list(table["image_id"]) == ["b", "a"]
    assert tables.class_names(table) == [str(i) for i in range(200)]
    assert (table.dtypes[1:] == np.float32).all()
    np.testing.assert_array_equal(table.iloc[:, 1:], probs)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n3,4,5\n", b"a\n\xff\n"])
def test_an_unreadable_csv_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.csv"):
        tables.read_text_csv(tmp_path / "bad.csv")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    tables.write_text("old", path)
    with pytest.raises(FileNotFoundError), tables.replacing(path):
        (tmp_path / "missing").read_text()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_what_a_killed_writer_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    left, living = tmp_path / f"[a].txt.{2**22 + 1}.tmp", tmp_path / "[a].txt.1.tmp"  # above Linux's highest process id
    other = tmp_path / f"a.txt.{2**22 + 1}.tmp"
    for path in (left, living, other):
        path.write_text("")
    tables.write_text("new", tmp_path / "[a].txt")
    assert set(tmp_path.iterdir()) == {living, other, tmp_path / "[a].txt"}


def test_json_refuses_what_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        tables.write_json({"a": float("nan")}, tmp_path / "a.json")
