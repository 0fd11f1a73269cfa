import gzip
import io
import re
import zipfile
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


GZIPPED = gzip.compress(b"id,label\n" + b"".join(b"a%d.jpg,x\n" % i for i in range(999)))
ZIPPED = io.BytesIO()
with zipfile.ZipFile(ZIPPED, "w") as archive:
    archive.writestr("labels.csv", "id,label\na,b\n")


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("a.csv", b"<!DOCTYPE html>\n<a href='x, y'>\n", "web page"),
        ("a.csv", b"\n<html><body>Log in</body></html>\n", "web page"),
        ("a.csv", "id,label\na,x\n".encode("utf-16"), "UTF-16"),
        ("a.csv", "id,label\na,x\n".encode("utf-16-le"), "UTF-16"),
        ("a.csv", b"id,label\n\xe9,x\n", "is not UTF-8"),
        ("a.csv", b"id;label;note\na;x;b, c\n", "semicolons"),
        ("a.csv", b"id;label\na;x\n", "semicolons"),
        ("a.csv", b"id\tlabel\na\tx\n", "tabs"),
        ("a.csv", b"id,label\na,x, y\n", "put quotes"),
        ("a.csv", b'id,label\na,"x\nb,y\n', "row 2: a quote"),
        ("a.csv", b"", "holds no cells"),
        ("a.csv", b"\xef\xbb\xbf\n \n", "holds no cells"),
        ("a.csv", ZIPPED.getvalue(), "zip archive or an .xlsx"),
        ("a.csv", GZIPPED, "gzip"),
        ("a.csv.gz", GZIPPED[:-500], "cut"),
        ("a.csv.gz", b"id,label\n", "cut"),
        ("a.zip", ZIPPED.getvalue()[:-9], "cut"),
        ("a.xz", b"x", "cut"),
    ],
)
def test_a_file_that_is_no_csv_is_called_what_it_is(tmp_path: Path, name: str, content: bytes, advice: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(tmp_path / name))) as raised:
        tables.read_text_csv(tmp_path / name, header=False)
    assert advice in str(raised.value)


def test_the_command_that_converts_other_separators_works(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for separator in (";", "\t", "|"):
        path.write_text(f'id{separator}label\n0012{separator}"NA, x"\n')
        with pytest.raises(InputError) as raised:
            tables.read_text_csv(path, header=False)
        exec(str(raised.value).split("`")[1])
        assert tables.read_text_csv(path, header=False).to_numpy().tolist() == [["id", "label"], ["0012", "NA, x"]]


def test_a_compressed_csv_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(GZIPPED)
    assert len(tables.read_text_csv(tmp_path / "a.csv.gz", header=False)) == 1000


def test_a_folder_or_a_cut_table_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    tables.write(example(), tmp_path / "cut.parquet", EXAMPLE)
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-9])
    (tmp_path / "odd.csv").write_text("image_id,label,value,count\na,x,1,many\n")
    for name in ("folder.csv", "cut.parquet", "odd.csv", "gone.parquet"):
        with pytest.raises(InputError, match=name):
            tables.read(tmp_path / name, EXAMPLE)


def test_formulas_are_told_from_numbers_and_signs() -> None:
    odd = ["=1+1", "@SUM(A1)", "-2+3", "+cmd|' /C calc'!A0", " =A1"]
    assert tables.formulas(["a", "-1", "+1.5e3", "-", "+", "a=b", "", *odd]) == odd


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
