"""Labels as contests give them: separators, JSON, COCO, archives, one-hot columns, file names, merged folders."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from podium.contest import label_sources, records
from podium.contest.label_sources import TrainFiles
from podium.contest.settings import ContestSettings
from podium.core import params
from podium.core.errors import InputError
from podium.core.placeholders import NO_FILE

IMAGES = ["a.jpg", "b.jpg", "sub/c.jpg"]
ROWS = [{"id": "a", "label": "x"}, {"id": "b", "label": "y"}, {"id": "c", "label": "x"}]
LABELS = {"a.jpg": "x", "b.jpg": "y", "sub/c.jpg": "x"}
TEXT = "id,label\na,x\nb,y\nc,x\n"
COCO: dict[str, Any] = {
    "annotations": [
        {"id": 7, "image_id": 11, "category_id": 0},
        {"id": 8, "image_id": 12, "category_id": 1},
        {"id": 9, "image_id": 13, "category_id": 0},
    ],
    "images": [
        {"id": 11, "file_name": "train/a.jpg", "location": 5},
        {"id": 12, "file_name": "train/b.jpg", "location": 6},
        {"id": 13, "file_name": "train/sub/c.jpg", "location": 5},
    ],
    "categories": [{"id": 0, "name": "élan"}, {"id": 1, "name": "puma"}],
}
COCO_COLUMNS = {"id": "file_name", "label": "category_name", "group": "location"}


def contest(**changes: Any) -> ContestSettings:
    values = {"images": {"train": "c/train", "test": "c/test"}, "labels": "labels.csv"}
    values |= {"columns": {"id": "id", "label": "label"}} | changes
    return params.parse(values, "contest", ContestSettings)


def read(root: Path, images: list[str] = IMAGES, **changes: Any) -> tuple[dict[str, str], list[str], list[str]]:
    table, problems, _ = label_sources.read(TrainFiles(images), contest(**changes), root)
    rows = dict(zip(table["image_id"], table["label"], strict=True))
    return rows, list(table["group"]), [image_id for image_id, _ in problems]


def zipped(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


FILES = {
    "labels.csv": TEXT.encode(),
    "semicolons.csv": TEXT.replace(",", ";").encode(),
    "labels.tsv": TEXT.replace(",", "\t").encode(),
    "labels.txt": TEXT.replace(",", "|").encode(),
    "labels.csv.gz": gzip.compress(TEXT.encode()),
    "labels.csv.zip": zipped(**{"labels.csv": TEXT}),
    "labels.json": json.dumps(ROWS).encode(),
    "keyed.json": json.dumps({"info": {}, "rows": ROWS}).encode(),
    "labels.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "labels.json.zip": zipped(**{"labels.json": json.dumps(ROWS), "__MACOSX/x": ""}),
    "labels.jsonl": "\n".join(map(json.dumps, ROWS)).encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_a_table_is_read_in_whatever_form_it_comes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    assert read(tmp_path, labels=name)[0] == LABELS
    separated = {"semicolons.csv": "semicolons", "labels.tsv": "tabs", "labels.txt": "vertical bars"}
    notes = records.read(tmp_path / name).notes
    assert len(notes) == (name in separated)
    assert all(separated[name] in note for note in notes)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_annotations_of_coco_are_joined_with_their_images_and_categories(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "coco.json").write_text(json.dumps(COCO, ensure_ascii=False), encoding=encoding)
    labels, groups, _ = read(tmp_path, labels="coco.json", columns=COCO_COLUMNS)
    assert labels == {"a.jpg": "élan", "b.jpg": "puma", "sub/c.jpg": "élan"}
    assert groups == ["5", "6", "5"]
    labels, _, _ = read(tmp_path, labels="coco.json", columns=COCO_COLUMNS | {"label": "category_id"})
    assert labels == {"a.jpg": "0", "b.jpg": "1", "sub/c.jpg": "0"}
    assert len(records.read(tmp_path / "coco.json").notes) == (encoding == "latin-1")


def test_images_of_coco_may_be_keyed_by_image_id(tmp_path: Path) -> None:
    images = [{"image_id": one["id"], "file_name": one["file_name"]} for one in COCO["images"]]
    categories = [{"category_id": one["id"], "name": one["name"]} for one in COCO["categories"]]
    (tmp_path / "coco.json").write_text(json.dumps(COCO | {"images": images, "categories": categories}))
    labels, _, _ = read(tmp_path, labels="coco.json", columns={"id": "file_name", "label": "category_name"})
    assert labels == {"a.jpg": "élan", "b.jpg": "puma", "sub/c.jpg": "élan"}


def test_numbers_of_json_are_written_as_they_stand_and_lists_are_nothing(tmp_path: Path) -> None:
    rows = [{"id": "a", "n": 1, "list": [1, 2]}, {"id": "b", "n": None}, {"id": 3, "n": 0.5}]
    (tmp_path / "r.json").write_text(json.dumps(rows))
    found = records.read(tmp_path / "r.json")
    assert found.column("n").tolist() == ["1", "", "0.5"]
    assert found.column("id").tolist() == ["a", "b", "3"]
    assert found.column("list").tolist() == ["", "", ""]
    (tmp_path / "r.json").write_text('[{"id": "\\ud800a"}]')
    assert records.read(tmp_path / "r.json").column("id").tolist() == ["\\ud800a"]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("x.json", b"{", "x.json: not valid JSON"),
        ("x.json", b'["a"]', "x.json: must hold a list of records"),
        ("x.json", b'{"a": 1}', "x.json: must hold a list of records, or images and annotations.* a"),
        ("x.json", b"[" * 100_000, "x.json: not valid JSON"),
        ("x.json", b'[{"id": "a", "label": ' + b"9" * 5000 + b"}]", "x.json: not valid JSON"),
        ("x.json", b'{"images": [{"id": 1}], "annotations": [{"label": "x"}]}', "x.json: images and .* image_id"),
        (
            "x.json",
            b'{"images": [{"id": 1}], "annotations": [{"image_id": 1, "category_id": 2}], "categories": [{"name": 3}]}',
            "x.json: images and .* joined",
        ),
        ("x.jsonl", b"{}\n{", "x.jsonl: line 2: not valid JSON"),
        ("x.json", b"{}\n{}\n", "each line is a record, rename it to .jsonl"),
        (
            "x.json",
            b'{"images": [{"id": "1"}], "annotations": [{"image_id": 1}]}',
            "no image has the id 1, but",
        ),
        (
            "x.csv.zip",
            zipped(a=TEXT).replace(b"PK\x01\x02\x14\x03\x14\0\0", b"PK\x01\x02\x14\x03\x14\0\1"),
            "unpacked.*encr",
        ),
        ("x.json.gz", b"no gzip", "x.json.gz: cannot be unpacked"),
        ("x.csv.zip", b"no zip", "x.csv.zip: cannot be unpacked"),
        ("x.csv.zip", zipped(a="", b=""), "x.csv.zip: must hold one file, holds a, b"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=words):
        read(tmp_path, labels=name)


def test_texts_in_json_lines_may_hold_separators_of_lines(tmp_path: Path) -> None:
    lines = [json.dumps({"id": name, "label": "x", "note": "\u2028\x85"}, ensure_ascii=False) for name in "ab"]
    (tmp_path / "x.jsonl").write_bytes("\r\n".join(lines).encode())
    assert read(tmp_path, labels="x.jsonl")[0] == {"a.jpg": "x", "b.jpg": "x"}


def test_the_one_hot_column_with_a_one_names_the_class(tmp_path: Path) -> None:
    columns = {"id": "id", "label": ["healthy", "rust", "scab"]}
    (tmp_path / "labels.csv").write_text("id,healthy,rust,scab\na,0,1,0\nb,1.0,0,0\nc,0,0,\n")
    assert read(tmp_path, columns=columns)[0] == {"a.jpg": "rust", "b.jpg": "healthy", "sub/c.jpg": ""}
    for cells, words in {"1,1,0": r"1 rows have a 1 in several.*row 2 'healthy\+rust'", "0.3,0.7,0": "'0.3' is neither",
                         "3,0,1": "row 2, column 'healthy'"}.items():  # fmt: skip
        (tmp_path / "labels.csv").write_text(f"id,healthy,rust,scab\na,{cells}\nb,1,0,0\n")
        with pytest.raises(InputError, match=words):
            read(tmp_path, columns=columns)


def test_a_pattern_reads_label_and_group_from_the_path(tmp_path: Path) -> None:
    images = ["cat.0.jpg", "dog.1.jpg", "dog.2.jpg", "readme.txt"]
    columns = {"pattern": r"(?P<label>cat|dog)\.(?P<group>\d)"}
    labels, groups, odd = read(tmp_path, images, layout="names", labels=NO_FILE, columns=columns)
    assert labels == {"cat.0.jpg": "cat", "dog.1.jpg": "dog", "dog.2.jpg": "dog"}
    assert (groups, odd) == (["0", "1", "2"], ["readme.txt"])
    with pytest.raises(InputError, match=r"columns\.pattern: .* fits no train image: cat"):
        read(tmp_path, images, layout="names", labels=NO_FILE, columns={"pattern": "(?P<label>cow)"})
    with pytest.raises(InputError, match="lacks the named group"):
        contest(layout="names", columns={"pattern": "cat"})


def test_several_folders_are_one_class(tmp_path: Path) -> None:
    images = ["Cover/1.jpg", "UERD/1.jpg", "JMiPOD/1.jpg"]
    columns = {"classes": {"Cover": 0, "UERD": 1, "JMiPOD": 1}}
    labels, _, _ = read(tmp_path, images, layout="folders", labels=NO_FILE, columns=columns)
    assert labels == {"Cover/1.jpg": "0", "UERD/1.jpg": "1", "JMiPOD/1.jpg": "1"}
    with pytest.raises(InputError, match=r"columns\.classes: no image has the label Uerd"):
        read(tmp_path, images, layout="folders", labels=NO_FILE, columns={"classes": {"Uerd": "1"}})


@pytest.mark.parametrize("name", ["\x1b[2J", "</script>", "y\u200b", " y", "{y|z}"])
def test_a_new_name_must_be_as_safe_and_distinct_as_a_label(tmp_path: Path, name: str) -> None:
    images = ["a/1.jpg", "y/1.jpg"]
    with pytest.raises(InputError, match=r"contest\.(columns\.classes: labels|layout: folders: classes in braces)"):
        read(tmp_path, images, layout="folders", labels=NO_FILE, columns={"classes": {"a": name}})


def test_classes_in_braces_may_be_renamed_as_the_error_says(tmp_path: Path) -> None:
    images = ["{a}/1.jpg", "y/1.jpg"]
    with pytest.raises(InputError, match=r"in braces: \{a\}.*contest\.columns\.classes"):
        read(tmp_path, images, layout="folders", labels=NO_FILE)
    columns = {"classes": {"{a}": "a"}}
    labels, _, _ = read(tmp_path, images, layout="folders", labels=NO_FILE, columns=columns)
    assert labels == {"{a}/1.jpg": "a", "y/1.jpg": "y"}


def test_labels_without_an_image_are_counted_by_class_unless_a_list_leaves_the_file_out(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("id;label\na;x\nb;y\nlost;z\nlost2;x\nunused;y\nnotes.txt;y\n")
    columns = {"id": "id", "label": "label", "classes": {"x": "first", "z": "third"}}
    files = TrainFiles(["a.jpg", "b.jpg"], ["notes.txt"], ["unused.jpg"])
    given = label_sources.read(files, contest(columns=columns), tmp_path)
    assert given.table["label"].tolist() == ["first", "y", "y"]
    assert given.without_image == {"first": 1, "third": 1}
    assert [image_id for image_id, _ in given.problems] == ["lost", "lost2", "unused"]


@pytest.mark.parametrize("ending", ["csv.gz", "csv.zip", "json.gz", "json.zip", "jsonl.gz"])
def test_a_cut_archive_is_named(tmp_path: Path, ending: str) -> None:
    text = "id,label\n" + "".join(f"{i},{i * 7919}\n" for i in range(2000))
    packed = gzip.compress(text.encode()) if ending.endswith("gz") else zipped(a=text)
    (tmp_path / f"x.{ending}").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"cannot be unpacked .*: is it cut"):
        read(tmp_path, labels=f"x.{ending}")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>;", "is a web page"),
        ("id;label\na;x\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04;", "workbook"),
        (b'id;label\na;"x\n', "row 2: a quote is opened"),
        (b"id;label\na;x\nb;x;y\n", "line 3 has 3 cells.* holds ';'"),
    ],
)
def test_what_is_no_table_of_cells_keeps_its_advice_whatever_separates_cells(
    tmp_path: Path, data: bytes, words: str
) -> None:
    (tmp_path / "labels.csv").write_bytes(data)
    with pytest.raises(InputError, match=words):
        read(tmp_path)
