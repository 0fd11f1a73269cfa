"""Reading a contest in its owner's words: ids, labels and overrides, and what is wrong with them.

Every cell is text, so that `0012` and `NA` survive. Whitespace around a cell: ids are tried as written and
then without it; groups and folds lose it; a label keeps it, but whitespace alone counts as empty, and two
labels that differ in nothing else are an error. Rows are counted as a spreadsheet shows them: the header is
row 1 (blank lines are not counted).
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stages.lib import tables
from stages.lib.errors import InputError, legible, some
from stages.lib.settings.placeholders import NO_FILE, NO_FOLDER, is_none

DROP = "drop"  # the one action of an override that is not a label

Problem = tuple[str, str]  # image_id (or the id as a person wrote it), what is wrong with it

_DRIVE = re.compile(r"[A-Za-z]:")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,2})?", re.ASCII | re.IGNORECASE)
_LIST = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_SHOWN = 10  # faulty rows of overrides
_FORM = "a row of overrides is image_id,action,reason, with commas between"
_SEPARATORS = (",", ";", r"\|", r"\s+")
_UNSAFE = {  # in a label: it would command a terminal, or the page of `dvc plots`, where labels stand in a script
    r"[\x00-\x1f\x7f-\x9f]": "control characters, e.g. a line break",
    r"(?i)</script|<!--": "HTML that ends or hides a script",
}


class Joined(NamedTuple):
    """Images with their labels.

    Attributes:
        labels: tables.LABELS, one row per image.
        problems: every image that is skipped without a person's override saying so, and every idle override.
        skipped: kind of reason -> images.
        overrides: "relabelled", "dropped", "confirmed" and "without effect" -> images.
        decisions: tables.DECISIONS, one row per override.
    """

    labels: pd.DataFrame
    problems: list[Problem]
    skipped: dict[str, int]
    overrides: dict[str, int]
    decisions: pd.DataFrame


class ImageIndex:
    """Finds the image that a person's id means, by names alone: no id is ever looked up on the disk.

    An id is, in this order, an image's path inside its folder, that path without its ending, the bare file
    name, or the bare name without its ending; or one of these in other Unicode characters that look the same
    (macOS takes letters and accents apart).
    """

    def __init__(self, image_ids: Iterable[str]):
        self._forms: tuple[dict[str, list[str]], ...] = tuple(defaultdict(list) for _ in range(4))
        for image_id in sorted(image_ids):
            path = PurePosixPath(image_id)
            for form, key in zip(self._forms, (path, path.with_suffix(""), path.name, path.stem), strict=True):
                form[str(key)].append(image_id)

    def find(self, written: str, place: str) -> str | None:
        """Return the image_id that `written` means, None if there is no such image.

        Args:
            written: the id as its owner wrote it.
            place: file and row, for the error.

        Raises:
            InputError: the id is empty, leaves the image folder, or could mean several images.
        """
        keys = [_inside(text, place) for text in dict.fromkeys((written, written.strip()))]
        for key in keys:
            for form in self._forms:
                if found := form.get(key):
                    return _only(found, written, place)
        for key in keys:
            for form in self._composed:
                if found := form.get(_composed(key)):
                    return _only(found, written, place)
        return None

    @cached_property
    def _composed(self) -> tuple[dict[str, list[str]], ...]:
        """Return the forms with letters and their accents put together: only ids that are not found need them."""
        forms: tuple[dict[str, list[str]], ...] = tuple(defaultdict(list) for _ in self._forms)
        for form, composed in zip(self._forms, forms, strict=True):
            for key, image_ids in form.items():
                composed[_composed(key)] += image_ids
        return forms


def as_number(text: str) -> Decimal | None:
    """Return the number a label spells in plain or scientific ASCII digits, or None.

    >>> as_number("01") == as_number(" 1.0 "), as_number("nan"), as_number("1,5")
    (True, None, None)
    """
    return Decimal(text.strip()) if _NUMBER.fullmatch(text.strip()) else None


def number_text(number: Decimal) -> str:
    """Return the shortest plain spelling, the same for equal numbers.

    >>> [number_text(Decimal(text)) for text in ("01", "1.0", "0.50", "-0", "1e3")]
    ['1', '1', '0.5', '0', '1000']
    """
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def read_given(
    image_ids: Iterable[str],
    *,
    layout: str,
    path: Path,
    id_column: str,
    label_column: str,
    group_column: str | None,
    fold_column: str | None,
    label_type: str,
) -> tuple[pd.DataFrame, list[Problem]]:
    """Read the labels that a contest gives: `read_labels` of a CSV, or `folder_labels`, as `layout` says."""
    if layout == "folders":
        return folder_labels(image_ids, label_type=label_type)
    return read_labels(
        path,
        images=ImageIndex(image_ids),
        id_column=id_column,
        label_column=label_column,
        group_column=group_column,
        fold_column=fold_column,
        label_type=label_type,
    )


def read_labels(
    path: Path,
    *,
    images: ImageIndex,
    id_column: str,
    label_column: str,
    group_column: str | None = None,
    fold_column: str | None = None,
    label_type: str = "text",
) -> tuple[pd.DataFrame, list[Problem]]:
    """Read a label CSV into one row per image that it names.

    Args:
        label_type: "text" keeps labels as written; "number" makes `1`, `1.0` and `01` one class, spelled `1`.

    Returns:
        columns image_id, label, group, fold ("" where there is none); and its problems: labels without an
        image, ids that stand twice with the same label.

    Raises:
        InputError: a column is missing; an id is unsafe, ambiguous, or stands twice with different labels; no
            id names an image; a label is several labels, no number where numbers are expected, or differs
            from another one in its spelling only; a labelled image lacks a fold.
    """
    columns = {"id": id_column, "label": label_column, "group": group_column, "fold": fold_column}
    table = _read_columns(path, columns)
    table["image_id"] = [images.find(written, f"{path}: row {row}") for row, written in table["id"].items()]
    lost = table[table["image_id"].isna()]
    problems = [
        (legible(written), f"{path.name}: row {row}: there is no such image") for row, written in lost["id"].items()
    ]
    table = table[table["image_id"].notna()].copy()
    if table.empty:
        raise InputError(f"{path}: no id of column {id_column!r} names a train image: {some(list(lost['id']), 3)}")
    for column in ("group", "fold"):
        table[column] = table[column].str.strip()
    table["label"] = _labels(table["label"], label_type, path)
    if fold_column is not None:
        _require_folds(table, path, fold_column)
    table, repeats = _without_repeats(table, path)
    return table[["image_id", "label", "group", "fold"]].reset_index(drop=True), problems + repeats


def folder_labels(image_ids: Iterable[str], *, label_type: str = "text") -> tuple[pd.DataFrame, list[Problem]]:
    """Read labels off a layout of one folder per class: the class is the first folder of the image_id.

    Returns:
        as `read_labels`; the problems are the images that lie in no folder.
    """
    ids = sorted(image_ids)
    inside = [image_id for image_id in ids if "/" in image_id]
    names = pd.Series([image_id.split("/")[0] for image_id in inside], index=inside, dtype="str")
    labels = _one_spelling(names, label_type, "the class folders")
    table = pd.DataFrame({"image_id": inside, "label": list(labels), "group": "", "fold": ""}, dtype="str")
    return table, [(image_id, "lies in no class folder: move it into one") for image_id in ids if "/" not in image_id]


def read_overrides(path: Path, *, images: ImageIndex, classes: Iterable[str], label_type: str = "text") -> pd.DataFrame:
    """Read a person's corrections: columns image_id, action (a class or `drop`), reason; others are for notes.

    An action must be a class that the labels already have: a slip of the pen would make a new one. The class that
    the image has already confirms its label.

    Returns:
        columns image_id, action (the class as the labels spell it), reason; no rows for the placeholder.

    Raises:
        InputError: a column is missing; an image is unknown, ambiguous or named twice; an action is no class: says of
            each row what is wrong.
    """
    if is_none(path):
        return pd.DataFrame({"image_id": [], "action": [], "reason": []}, dtype="str")
    table = _read_columns(path, {column: column for column in ("image_id", "action", "reason")})
    known, faults = frozenset(classes), []
    for row, (written, action) in zip(table.index, table[["image_id", "action"]].to_numpy(), strict=True):
        place = f"{path}: row {row}"
        try:
            table.loc[row, "image_id"] = _require_image(images, written, place)
            table.loc[row, "action"] = _action(action, known, label_type, place)
        except InputError as error:
            faults.append(str(error))
    if faults:
        more = [f"{path}: {len(faults) - _SHOWN} rows more are wrong"] if len(faults) > _SHOWN else []
        raise InputError("\n".join(faults[:_SHOWN] + more))
    double = table[table["image_id"].duplicated(keep=False)]
    if not double.empty:
        raise InputError(f"{path}: an image has several overrides; keep one: {_rows(double['image_id'])}")
    return table.reset_index(drop=True)


def join(facts: pd.DataFrame, given: pd.DataFrame, overrides: pd.DataFrame) -> Joined:
    """Give every image its label, and say which ones are not used and why.

    Args:
        facts: columns image_id and problem ("" where the image can be read), one row per image.
        given: of `read_given`.
        overrides: of `read_overrides`.
    """
    table = facts[["image_id", "problem"]].merge(given, how="left", on="image_id", validate="one_to_one")
    table = table.merge(overrides.fillna(""), how="left", on="image_id", validate="one_to_one")
    table["effect"], table["given"] = _effects(table), table["label"].fillna("")
    table["label"] = table["label"].mask(table["effect"] == "relabelled", table["action"])
    table["kind"] = _kinds_of_skip(table)
    note = ("override: " + table["reason"].str.strip()).str.removesuffix(": ")
    overridden = table["effect"].isin(["relabelled", "dropped"])
    table["reason"] = table["kind"].mask(overridden, note).mask(table["kind"] == "unreadable", table["problem"])
    table["use"] = np.where(table["kind"] == "", "train", "skip")
    faulty = ~table["kind"].isin(["", "override"])
    problems = [(i, f"skipped: {reason}") for i, reason in table.loc[faulty, ["image_id", "reason"]].to_numpy()]
    problems += [(i, "its override has no effect") for i in table.loc[table["effect"] == "without effect", "image_id"]]
    effects = Counter(table["effect"])
    table = table.sort_values("image_id", ignore_index=True)
    return Joined(
        labels=table[list(tables.LABELS.columns)].fillna(""),
        problems=problems,
        skipped={kind: n for kind, n in sorted(Counter(table["kind"]).items()) if kind},
        overrides={effect: effects[effect] for effect in ("relabelled", "dropped", "confirmed", "without effect")},
        decisions=table.loc[table["effect"] != "", list(tables.DECISIONS.columns)].reset_index(drop=True),
    )


def require_classes(labels: pd.DataFrame) -> dict[str, int]:
    """Return the images per class that are used, in the order of the classes' names.

    Raises:
        InputError: there are fewer than two classes: nothing could be learned.
    """
    counts = labels.loc[labels["use"] == "train", "label"].value_counts().sort_index()
    if len(counts) < 2:
        found = f"only one class, {counts.index[0]!r}" if len(counts) else "no labelled image that can be used"
        raise InputError(f"the contest has {found}; a classifier needs two (see contest in params.yaml)")
    return {str(name): int(count) for name, count in counts.items()}


def check_paths(
    root: Path,
    *,
    train: str,
    test: str,
    layout: str,
    labels: str,
    overrides: str,
    template: str,
    id_column: str,
    label_column: str,
    group_column: str | None,
    fold_column: str | None,
    made_later: tuple[str, ...] = (),
) -> None:
    """Refuse paths of the contest section that cannot work, before anything runs.

    Paths are relative to `root` or absolute; a link is judged by where it leads, and may lead out of the project
    as an absolute path may.

    Args:
        made_later: folders that a stage of the graph makes: what lies in them need not exist yet.

    Raises:
        InputError: lists every wrong key with the remedy.
    """
    folders = {"images.train": train, "images.test": test}
    files = {"labels": labels, "overrides": overrides, "template": template}
    faults = [
        *_column_faults(id_column, label_column, group_column),
        *_layout_faults(layout, train, labels, {"group": group_column, "fold": fold_column}),
        *(fault for key, path in folders.items() for fault in _folder_faults(root, key, path, made_later)),
        *(fault for key, path in files.items() for fault in _file_faults(root, key, path, made_later)),
        *_nesting_faults(root, folders, files),
    ]
    if faults:
        raise InputError("\n".join(f"params.yaml: contest.{fault}" for fault in faults))


def _effects(table: pd.DataFrame) -> pd.Series:
    """Return what each image's override does: "" where there is none."""
    effects = {
        "": table["action"].isna(),
        "without effect": table["problem"] != "",
        "dropped": table["action"] == DROP,
        "confirmed": table["action"] == table["label"],
    }
    return pd.Series(np.select(list(effects.values()), list(effects), "relabelled"), dtype="str")


def _kinds_of_skip(table: pd.DataFrame) -> pd.Series:
    """Return why each image is not used: "" where it is."""
    kinds = {
        "unreadable": table["problem"] != "",
        "override": table["effect"] == "dropped",
        "no label": table["label"].isna(),
        "empty label": table["label"] == "",
    }
    return pd.Series(np.select(list(kinds.values()), list(kinds), ""), dtype="str")


def _inside(written: str, place: str) -> str:
    """Return a relative path in its plain form; refuse one that could lead out of the image folder."""
    path = PurePosixPath(written)
    if not written.strip():
        raise InputError(f"{place}: the id is empty")
    if path.is_absolute() or ".." in path.parts or "\\" in written or _DRIVE.match(written):
        raise InputError(
            f"{place}: id {written!r} may leave the image folder; write its path inside the folder, with /"
        )
    return str(path)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _only(found: list[str], written: str, place: str) -> str:
    if len({_composed(image_id) for image_id in found}) < len(found):
        names = some([ascii(image_id) for image_id in found])
        raise InputError(
            f"{place}: id {written!r}: files look the same in other Unicode characters: {names}; rename all but one"
        )
    if len(found) > 1:
        raise InputError(
            f"{place}: id {written!r} could be any of {some(found)}; write its path inside the folder, with its ending"
        )
    return found[0]


def _read_columns(path: Path, columns: Mapping[str, str | None]) -> pd.DataFrame:
    """Read the columns {our name: the file's name, or None for an empty column}; the index is the row's number."""
    # Without pandas' own header, which would take a first column too many for an index and rename doubled columns.
    cells = tables.read_text_csv(path, header=False)
    header = [str(cell) for cell in cells.iloc[0]]
    wanted = [name for name in columns.values() if name is not None]
    if missing := [name for name in wanted if name not in header]:
        hint = "" if len(header) > 1 else "; cells are separated by commas"
        raise InputError(f"{path}: no column {', '.join(map(repr, missing))}; there are {header}{hint}")
    if double := [name for name in wanted if header.count(name) > 1]:
        raise InputError(f"{path}: several columns are called {', '.join(map(repr, double))}; rename all but one")
    rows = cells.iloc[1:]
    found = {ours: "" if name is None else rows[header.index(name)] for ours, name in columns.items()}
    return pd.DataFrame(found, index=rows.index, dtype="str").rename(index=lambda position: position + 1)


def _labels(labels: pd.Series, label_type: str, path: Path) -> pd.Series:
    """Check the labels (indexed by row) and spell each class in one way; whitespace alone becomes ""."""
    labels = labels.where(labels.str.strip() != "", "")
    filled = labels[labels != ""]
    _refuse_several(filled, path)
    return _one_spelling(filled, label_type, str(path)).reindex(labels.index, fill_value="")


def _refuse_several(labels: pd.Series, path: Path) -> None:
    known = frozenset(labels.str.strip())
    several = [label for label in labels.unique() if _is_several(label.strip(), known)]
    if several:
        raise InputError(
            f"{path}: several labels in one cell, but an image has one class here; keep one of them:"
            f" {_rows(labels[labels.isin(several)])}"
        )


def _is_several(label: str, known: frozenset[str]) -> bool:
    """Say whether a cell looks like a list, or splits into labels that other rows have alone."""
    parts = ([part.strip() for part in re.split(separator, label)] for separator in _SEPARATORS)
    return bool(_LIST.fullmatch(label)) or any(len(p) > 1 and known.issuperset(p) for p in parts)


def _one_spelling(labels: pd.Series, label_type: str, where: str) -> pd.Series:
    """Spell numbers in one way, or refuse texts that differ in nothing but their spelling, or are unsafe to show."""
    for pattern, fault in _UNSAFE.items():
        if (unsafe := labels[labels.str.contains(pattern, regex=True)]).size:
            raise InputError(f"{where}: labels hold {fault}; correct them: {_rows(unsafe)}")
    numbers = {label: as_number(label) for label in labels.unique()}
    if label_type == "number":
        if wrong := [label for label, number in numbers.items() if number is None]:
            raise InputError(
                f"{where}: not numbers, as contest.label_type says; correct them, or say `label_type: text`:"
                f" {_rows(labels[labels.isin(wrong)])}"
            )
        return labels.map({label: number_text(number) for label, number in numbers.items() if number is not None})
    _refuse_twins(
        labels, numbers, where, "are the same number; say `label_type: number` in contest, or spell them alike"
    )
    stripped = {label: label.strip() for label in numbers}
    _refuse_twins(labels, stripped, where, "differ in the whitespace around them only; spell them alike")
    composed = {label: _composed(label) for label in numbers}
    _refuse_twins(labels, composed, where, "look the same, and are other Unicode characters; spell them alike")
    return labels


def _refuse_twins(labels: pd.Series, meanings: Mapping[str, Any], where: str, fault: str) -> None:
    spellings = defaultdict(list)
    for label, meaning in meanings.items():
        if meaning is not None:
            spellings[meaning].append(label)
    for twins in spellings.values():
        if len(twins) > 1:
            first = labels[labels.isin(twins)].drop_duplicates()
            raise InputError(f"{where}: labels {', '.join(map(repr, twins))} {fault}: {_rows(first)}")


def _require_folds(table: pd.DataFrame, path: Path, fold_column: str) -> None:
    lacking = table[(table["label"] != "") & (table["fold"] == "")]
    if not lacking.empty:
        raise InputError(f"{path}: a labelled image has no fold in column {fold_column!r}: {_rows(lacking['id'])}")


def _without_repeats(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Keep one row per image; rows that agree are a problem, rows that do not are an error."""
    repeated = table[table["image_id"].duplicated(keep=False)]
    problems = []
    for image_id, rows in repeated.groupby("image_id"):
        numbers = ", ".join(map(str, rows.index))
        if len(rows[["label", "group", "fold"]].drop_duplicates()) > 1:
            raise InputError(
                f"{path}: rows {numbers}: {image_id} stands there with different labels, groups or folds"
                f" ({_rows(rows['label'])}); keep one"
            )
        problems.append((str(image_id), f"{path.name}: rows {numbers}: stands there with the same label; one is used"))
    return table.drop_duplicates("image_id"), problems


def _require_image(images: ImageIndex, written: str, place: str) -> str:
    image_id = images.find(written, place)
    if image_id is None:
        raise InputError(f"{place}: there is no train image {written!r}; correct or remove the row ({_FORM})")
    return image_id


def _action(written: str, known: frozenset[str], label_type: str, place: str) -> str:
    """Return the class an override's action means, or DROP."""
    number = as_number(written) if label_type == "number" else None
    action = written if number is None else number_text(number)
    if action == DROP and DROP in known:
        raise InputError(f"{place}: a class is called `{DROP}`, so this action means two things; rename the class")
    if action != DROP and action not in known:
        raise InputError(
            f"{place}: action {written!r} is neither `{DROP}` nor a class: {some(sorted(known), 20)} ({_FORM})"
        )
    return action


def _rows(values: pd.Series) -> str:
    """Name the first rows of a series that is indexed by row (or by class folder)."""
    return some([f"row {row} {value!r}" if isinstance(row, int) else repr(row) for row, value in values.items()])


def _column_faults(id_column: str, label_column: str, group_column: str | None) -> list[str]:
    if label_column in (id_column, group_column):
        return [f"columns: {label_column!r} is named for the label and for something else; name two columns"]
    return []


def _layout_faults(layout: str, train: str, labels: str, columns: dict[str, str | None]) -> list[str]:
    faults = []
    if train == NO_FOLDER:
        faults.append("images.train: is the placeholder; name the folder of train images")
    if layout == "csv" and labels == NO_FILE:
        faults.append(
            "labels: is the placeholder, but `layout: csv` reads a label CSV; name it, or say `layout: folders`"
        )
    if layout == "folders":
        if labels != NO_FILE:
            faults.append(f"labels: has no effect with `layout: folders`; say {NO_FILE}")
        given = [key for key, column in columns.items() if column is not None]
        faults += [f"columns.{key}: has no effect with `layout: folders`; remove it" for key in given]
    return faults


def _folder_faults(root: Path, key: str, written: str, made_later: tuple[str, ...]) -> list[str]:
    path = root / written
    if path.is_dir() or _is_made_later(written, path, made_later):
        return []
    tracked = (root / f"{written.rstrip('/')}.dvc").is_file()
    return [f"{key}: {written} is no folder; {'run `dvc checkout` or `dvc pull`' if tracked else 'correct the path'}"]


def _file_faults(root: Path, key: str, written: str, made_later: tuple[str, ...]) -> list[str]:
    path = root / written
    if written == NO_FILE or _is_made_later(written, path, made_later):
        return []
    if not path.is_file():
        return [f"{key}: {written} is no file; correct the path, or say {NO_FILE} where the contest has none"]
    return [] if path.stat().st_size else [f"{key}: {written} is empty; say {NO_FILE} where the contest has none"]


def _is_made_later(written: str, path: Path, made_later: tuple[str, ...]) -> bool:
    return not path.exists() and any(PurePosixPath(written).is_relative_to(folder) for folder in made_later)


def _nesting_faults(root: Path, folders: dict[str, str], files: dict[str, str]) -> list[str]:
    resolved = {key: (root / written).resolve() for key, written in folders.items()}
    train, test = resolved.values()
    faults = []
    if train == test or train.is_relative_to(test) or test.is_relative_to(train):
        faults.append(
            "images: train and test must be two folders, none in the other: a new test image would retrain all"
        )
    for key, written in files.items():
        for folder, place in resolved.items():
            if written != NO_FILE and (root / written).resolve().is_relative_to(place):
                faults.append(
                    f"{key}: {written} lies in {folder} ({folders[folder]}), where each change of it would decode all"
                    f" images again; put it outside, e.g. beside that folder"
                )
    return faults
