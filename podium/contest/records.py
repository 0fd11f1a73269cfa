"""Read a table as contests give it: CSV with any separator, JSON records, JSON lines or COCO's JSON, also in gz or zip.

Every cell becomes text. A COCO file becomes a row per annotation with the fields of its image and, as category_name and
so on, of its category; without annotations a row per image.
"""

import gzip
import io
import json
import math
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from podium.core import csv_faults, tables
from podium.core.errors import InputError, some

_PACKED = (".gz", ".zip")


@dataclass(frozen=True)
class Records:
    """A table as its file has it.

    Attributes:
        header: names of the columns.
        cells: one column per name, by position; the index is the row's number as in a spreadsheet, where the header is
            row 1, or the number of the record in a JSON file, from 1.
        notes: how the file was read where that is not obvious.
    """

    header: list[str]
    cells: pd.DataFrame
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> pd.Series:
        """Return a column as text: numbers as JSON writes them, nothing for null, lists and maps."""
        column = self.cells[self.header.index(name)]
        return column if column.dtype == "str" else column.map(_text).astype("str")


def read(path: Path) -> Records:
    """Read a table.

    Raises:
        InputError: it cannot be read, or is no table.
    """
    ending = path.with_suffix("").suffix if path.suffix.lower() in _PACKED else path.suffix
    return READERS.get(ending.lower(), _read_csv)(path)


def separator(path: Path) -> str:
    """Return what separates the cells of a CSV: a comma, unless its first line has none but another separator.

    What is no CSV gets a comma: reading it raises the error.
    """
    packed = path.suffix.lower() in _PACKED
    if not packed and (path.suffix in csv_faults.COMPRESSED or csv_faults.of_beginning(path)):
        return ","
    try:
        with io.TextIOWrapper(_opened(path), encoding="utf-8-sig", errors="replace") as lines:
            first = lines.readline()
    except InputError:
        raise
    except Exception:  # the modules that unpack raise a dozen classes of errors
        return ","
    return "," if "," in first else next((mark for mark in csv_faults.SEPARATORS if mark in first), ",")


def _read_csv(path: Path) -> Records:
    # pandas must not parse the header: it would read an extra first column as the index and rename repeated columns.
    mark = separator(path) if path.is_file() else ","
    cells = tables.read_text_csv(path, header=False, separator=mark)
    rows = cells.iloc[1:].rename(index=lambda position: position + 1)
    notes = () if mark == "," else (f"{path.name}: cells are separated by {csv_faults.SEPARATORS[mark]}",)
    return Records([str(cell) for cell in cells.iloc[0]], rows, notes)


def _read_json(path: Path) -> Records:
    text, notes = _decoded(path)
    return _of_objects(_rows(_parsed(text, str(path)), path), path, notes)


def _read_json_lines(path: Path) -> Records:
    text, notes = _decoded(path)
    lines = enumerate(re.split(r"\r\n?|\n", text), 1)  # not splitlines: a text in JSON may hold other ends of lines
    objects = [_parsed(line, f"{path}: line {number}") for number, line in lines if line.strip()]
    return _of_objects(objects, path, notes)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError also of a number of thousands of digits
        hint = "; if each line is a record, rename it to .jsonl" if str(error).startswith("Extra data: line 2 ") else ""
        raise InputError(f"{where}: not valid JSON: {error}{hint}") from None


READERS: dict[str, Callable[[Path], Records]] = {  # by the file's ending; all others are CSVs
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
}


def _opened(path: Path) -> Any:
    """Open a file, or the one file in an archive, to read bytes."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path)
    if path.suffix.lower() != ".zip":
        return path.open("rb")
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: {csv_faults.of_error(error, path)}") from None
    names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
    if len(names) != 1:
        raise InputError(f"{path}: must hold one file, holds {some(names) or 'none'}; unpack it and name the file")
    return archive.open(names[0])


def _decoded(path: Path) -> tuple[str, tuple[str, ...]]:
    try:
        with _opened(path) as opened:
            data: bytes = opened.read()
    except FileNotFoundError:
        raise InputError(f"{path}: not found") from None
    except InputError:
        raise
    except Exception as error:  # as in `separator`
        fault = csv_faults.of_error(error, path) if path.suffix.lower() in _PACKED else f"cannot be read: {error}"
        raise InputError(f"{path}: {fault}") from None
    try:
        return data.decode("utf-8-sig"), ()
    except UnicodeDecodeError:
        return data.decode("latin-1"), (f"{path.name}: is not UTF-8 and is read as Latin-1",)


def _rows(value: Any, path: Path) -> Any:
    """Return the rows in a JSON value: records, or a frame; a COCO file's are joined."""
    if not isinstance(value, dict):
        return value
    if _is_table(value.get("images")) and _is_table(value.get("annotations")):
        try:
            return _joined(value)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: images and annotations cannot be joined ({type(error).__name__}: {error}): each annotation"
                " needs an image_id that is the id of an image, and categories an id, as numbers or texts"
            ) from None
    if _is_table(value.get("images")):
        return value["images"]
    lists = [name for name, inner in value.items() if _is_table(inner)]
    if len(lists) != 1:
        raise InputError(
            f"{path}: must hold a list of records, or images and annotations as in COCO; its keys are"
            f" {some(sorted(map(str, value)))}"
        )
    return value[lists[0]]


def _joined(coco: dict[str, Any]) -> pd.DataFrame:
    annotations = pd.DataFrame(coco["annotations"], dtype="object").drop(columns="id", errors="ignore")
    images = pd.DataFrame(coco["images"], dtype="object")
    key = "id" if "id" in images else "image_id"
    images = images.drop(columns=[name for name in annotations if name in images and name != key])
    joined = annotations.merge(images, how="left", left_on="image_id", right_on=key)
    if not set(annotations["image_id"]) & set(images[key]):
        raise ValueError(f"no image has the id {annotations['image_id'].iloc[0]!r}, but e.g. {images[key].iloc[0]!r}")
    if not _is_table(coco.get("categories")) or "category_id" not in joined:
        return joined
    categories = pd.DataFrame(coco["categories"], dtype="object")
    own = "id" if "id" in categories else "category_id"
    named = {name: f"category_{name}" for name in categories if name != own}
    named = {name: new for name, new in named.items() if new not in joined} | {own: "category_id"}
    return joined.merge(categories[list(named)].rename(columns=named), how="left", on="category_id")


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _of_objects(objects: Any, path: Path, notes: tuple[str, ...]) -> Records:
    if not isinstance(objects, pd.DataFrame):
        if not isinstance(objects, list) or not objects or not all(isinstance(one, dict) for one in objects):
            raise InputError(f"{path}: must hold a list of records, each with its columns as keys")
        objects = pd.DataFrame(objects, dtype="object")
    cells = objects.set_axis(range(objects.shape[1]), axis=1).set_axis(range(1, len(objects) + 1), axis=0)
    return Records([str(name) for name in objects.columns], cells, notes)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()  # JSON can hold halves of characters, files cannot
    is_number = isinstance(value, int) or (isinstance(value, float) and not math.isnan(value))
    return repr(value) if is_number else ""
