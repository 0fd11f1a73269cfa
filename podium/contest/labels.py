"""Read a contest's labels and the user's overrides, join them to the images, and report their problems.

Every cell is text, so that `0012` and `NA` survive. Whitespace around a cell: an id is looked up as written, then
without it; groups and folds are stripped; a label keeps it, but whitespace alone counts as empty, and two labels that
differ only in whitespace are an error. Rows are counted as in a spreadsheet: the header is row 1, blank lines do not
count.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from podium import contracts
from podium.contest import lookalikes, records
from podium.contest.ids import ImageIndex, as_number, composed, number_text
from podium.core import targets
from podium.core.errors import InputError, legible, some
from podium.core.placeholders import is_none

FLAGS = {"false": "0", "true": "1"}  # in columns of 0 and 1, as pandas writes them
DROP = "drop"  # the one action of an override that is not a label

Problem = tuple[str, str]  # image_id (or the id as the user wrote it), and what is wrong with it

_LIST = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_SHOWN = 10  # wrong rows of overrides that an error names
LOST_FOLDERS = "\\, as if an archive from Windows lost its folders: unpack it again, e.g. by 7z"
_FORM = "a row of overrides is image_id,action,reason, with commas between"
_WHOLE_NUMBER = re.compile(r"^([0-9]+)\.0+$")  # a fold that pandas wrote as a float; no fold's name may hold a point
_SEPARATORS = (",", ";", r"\|", r"\s+")
_UNSAFE = {  # in a label: a terminal would obey it, or the page of `dvc plots`, which has labels in a script
    r"[\x00-\x1f\x7f-\x9f]": "control characters, e.g. a line break",
    r"(?i)</script|<!--": "HTML that ends or hides a script",
}


class GivenLabels(NamedTuple):
    """The contest's labels.

    Attributes:
        table: columns image_id, label, group, fold ("" if there is none), one row per image that the labels name.
        problems: labels without an image, and ids that are repeated with the same label.
        without_image: class -> number of its labels without an image.
    """

    table: pd.DataFrame
    problems: list[Problem]
    without_image: dict[str, int]


class JoinedLabels(NamedTuple):
    """Images with their labels.

    Attributes:
        labels: contracts.LABELS, one row per image.
        problems: every image that is skipped without an override, and every override without effect.
        skipped: kind of reason -> number of images.
        overrides: "relabelled", "dropped", "confirmed" and "without effect" -> number of images.
        overrides_applied: contracts.OVERRIDES_APPLIED, one row per override.
    """

    labels: pd.DataFrame
    problems: list[Problem]
    skipped: dict[str, int]
    overrides: dict[str, int]
    overrides_applied: pd.DataFrame


def read_labels(
    path: Path,
    *,
    images: ImageIndex,
    id_column: str,
    label_column: str | Sequence[str],
    group_column: str | None = None,
    fold_column: str | None = None,
    label_type: str = "text",
    whole_labels: Sequence[str] = (),
    left_out: ImageIndex | None = None,
    folders: Mapping[str, Sequence[str]] | None = None,
    sets: bool = False,
    separator: str | None = None,
) -> GivenLabels:
    """Read a table of labels into one row per image that it names.

    Args:
        label_column: name of the column; or names of one-hot columns: the class is the column that holds 1.
        label_type: "text" keeps labels as written; with "number", `1`, `1.0` and `01` are one class, spelled `1`.
        whole_labels: labels that are one class although they look like several.
        left_out: files of the image folder that `contest.lists` leaves out; their labels lack no image.
        folders: id -> its images, where ids name folders.
        sets: whether an image has a set of labels (podium.core.targets): those of a cell, or the columns that hold 1.
            An empty cell means that the label is unknown; a row of zeros means that the image has no label.
        separator: between the labels of a cell.

    Raises:
        InputError: a column is missing; an id is unsafe, ambiguous, or repeated with different labels; no id names an
            image; a cell holds several labels, or no number with `label_type: number`, or a label that differs from
            another one only in spelling; a labelled image has no fold.
    """
    columns = {"id": id_column, "group": group_column, "fold": fold_column}
    if isinstance(label_column, str):
        table = _read_columns(path, columns | {"label": label_column})
    else:
        table = _read_columns(path, columns | {f"label {name}": name for name in label_column})
        table["label"] = (_from_binary if sets else _from_one_hot)(table, label_column, path)
    if folders is not None:
        table["id"] = [list(folders.get(written, [written])) for written in table["id"].str.strip()]
        table = table.explode("id").astype("str")
    if sets:
        table["label"] = _as_sets(table["label"], separator, label_type, path)
    table["image_id"] = [images.find(written, f"{path}: row {row}") for row, written in table["id"].items()]
    if isinstance(label_column, str) and label_column in set(table["label"]) and _names_some(images, id_column):
        raise InputError(
            f"{path}: its first line, {id_column},{label_column}, is an image and its label, so it has no header: add"
            " a first line that names the columns, and write these names into contest.columns"
        )
    unknown = table[table["image_id"].isna()]
    out = [left_out is not None and _names_some(left_out, written) for written in unknown["id"]]
    faults = ["contest.lists excludes it" if is_out else "there is no such image" for is_out in out]
    problems = [
        (legible(written), f"{path.name}: row {row}: {fault}")
        for (row, written), fault in zip(unknown["id"].items(), faults, strict=True)
    ]
    table = table[table["image_id"].notna()].copy()
    if table.empty:
        found = f" names a train image: {some(list(unknown['id']), 3)}" if len(unknown) else ": there are no rows"
        raise InputError(
            f"{path}: no id of column {id_column!r}{found}; train images are e.g. {images.examples()}: correct the"
            " table, contest.columns.id or contest.images.train"
        )
    for column in ("group", "fold"):
        table[column] = table[column].str.strip()
    table["fold"] = table["fold"].str.replace(_WHOLE_NUMBER, r"\1", regex=True)
    _refuse_equal_groups(table["group"], path)
    _refuse_unknown(whole_labels, {*table["label"], *unknown["label"]}, path)
    if not sets:
        table["label"] = _labels(table["label"], label_type, path, whole_labels)
    if fold_column is not None:
        _require_folds(table, path, fold_column)
    table, repeats = _without_repeats(table, path)
    return GivenLabels(
        table[["image_id", "label", "group", "fold"]].reset_index(drop=True),
        problems + repeats,
        _count(unknown[~np.array(out, bool)].drop_duplicates("id")["label"], set(table["label"]), label_type),
    )


def _names_some(images: ImageIndex, written: str) -> bool:
    """Return whether an id names one or several of the images."""
    try:
        return images.find(written, "") is not None
    except InputError:
        return True


def folder_labels(image_ids: Iterable[str], *, label_type: str = "text") -> tuple[pd.DataFrame, list[Problem]]:
    """Read the labels of a layout with one folder per class: the class is the first folder of the image_id.

    Returns:
        the first two of GivenLabels; the problems are images that lie in no folder.
    """
    ids = sorted(image_ids)
    inside = [image_id for image_id in ids if "/" in image_id]
    names = pd.Series([image_id.split("/")[0] for image_id in inside], index=inside, dtype="str")
    labels = one_spelling(names, label_type, "the class folders")
    table = pd.DataFrame({"image_id": inside, "label": list(labels), "group": "", "fold": ""}, dtype="str")
    return table, [(image_id, _without_folder(image_id)) for image_id in ids if "/" not in image_id]


def _without_folder(image_id: str) -> str:
    problem = "lies in no class folder: move it into one"
    if "\\" not in image_id:
        return problem
    return f"{problem}. Its name holds {LOST_FOLDERS}"


def read_overrides(path: Path, *, images: ImageIndex, classes: Sequence[str], label_type: str = "text") -> pd.DataFrame:
    """Read the user's overrides: columns image_id, action (a class or `drop`) and reason; other columns are ignored.

    An action must be a class that the labels have, because a misspelled one would become a new class. An action that
    is the image's own class confirms its label.

    With LabelNames an action is a set as in labels.csv, e.g. `{rust|scab}`.

    Returns:
        columns image_id, action (the class as the labels spell it) and reason; no rows for the placeholder.

    Raises:
        InputError: a column is missing; an image is unknown, ambiguous or named twice; an action is no class. The
            message lists what is wrong, row by row.
    """
    if is_none(path):
        return pd.DataFrame({"image_id": [], "action": [], "reason": []}, dtype="str")
    table = _read_columns(path, {column: column for column in ("image_id", "action", "reason")}, _FORM)
    known, faults = frozenset(classes), []
    for row, (written, action) in zip(table.index, table[["image_id", "action"]].to_numpy(), strict=True):
        place = f"{path}: row {row}"
        try:
            table.loc[row, "image_id"] = _require_image(images, written, place)
            read_action = _set_action if targets.are_sets(classes) else _action
            table.loc[row, "action"] = read_action(action, known, label_type, place)
        except InputError as error:
            faults.append(str(error))
    if faults:
        more = [f"{path}: {len(faults) - _SHOWN} rows more are wrong"] if len(faults) > _SHOWN else []
        raise InputError("\n".join(faults[:_SHOWN] + more))
    repeated = table[table["image_id"].duplicated(keep=False)]
    if not repeated.empty:
        raise InputError(f"{path}: an image has several overrides; keep one: {_rows(repeated['image_id'])}")
    return table.reset_index(drop=True)


def join(facts: pd.DataFrame, given: pd.DataFrame, overrides: pd.DataFrame) -> JoinedLabels:
    """Give every image its label, and report which images are not used and why.

    Args:
        facts: columns image_id and problem ("" if the image can be read), one row per image.
        given: the table of GivenLabels.
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
    return JoinedLabels(
        labels=table[list(contracts.LABELS.columns)].fillna(""),
        problems=problems,
        skipped={kind: n for kind, n in sorted(Counter(table["kind"]).items()) if kind},
        overrides={effect: effects[effect] for effect in ("relabelled", "dropped", "confirmed", "without effect")},
        overrides_applied=table.loc[table["effect"] != "", list(contracts.OVERRIDES_APPLIED.columns)].reset_index(
            drop=True
        ),
    )


def summary(joined: JoinedLabels) -> dict[str, Any]:
    """Return the counts of data/label/summary.json: images, labels, overrides, and images per class.

    Raises:
        InputError: fewer than two classes have an image.
    """
    per_class = require_classes(joined.labels)
    return {
        "images": len(joined.labels),
        "labelled": int((joined.labels["label"] != "").sum()),
        "used": int((joined.labels["use"] == "train").sum()),
        "skipped": joined.skipped,
        "overrides": joined.overrides,
        "classes": per_class,
    }


def require_classes(labels: pd.DataFrame) -> dict[str, int]:
    """Return the number of used images of each class, sorted by class.

    Raises:
        InputError: there are fewer than two classes, so there is nothing to learn.
    """
    used = targets.one_label_a_row(labels.loc[labels["use"] == "train", ["label"]])
    counts = used["label"].value_counts().sort_index()
    if len(counts) < 2:
        problem = f"only one class, {counts.index[0]!r}" if len(counts) else "no labelled image that can be used"
        raise InputError(f"the contest has {problem}; a classifier needs two (see contest in params.yaml)")
    return {str(name): int(count) for name, count in counts.items()}


def _effects(table: pd.DataFrame) -> pd.Series:
    """Return the effect of each image's override; "" if it has none."""
    effects = {
        "": table["action"].isna(),
        "without effect": table["problem"] != "",
        "dropped": table["action"] == DROP,
        "confirmed": table["action"] == table["label"],
    }
    return pd.Series(np.select(list(effects.values()), list(effects), "relabelled"), dtype="str")


def _kinds_of_skip(table: pd.DataFrame) -> pd.Series:
    """Return why each image is skipped; "" if it is used."""
    kinds = {
        "unreadable": table["problem"] != "",
        "override": table["effect"] == "dropped",
        "no label": table["label"].isna(),
        "empty label": table["label"] == "",
    }
    return pd.Series(np.select(list(kinds.values()), list(kinds), ""), dtype="str")


def _read_columns(
    path: Path, columns: Mapping[str, str | None], advice: str = "correct contest.columns, or the file's first line"
) -> pd.DataFrame:
    """Read the columns {our name: the file's name, or None for an empty column}; the index is the row number."""
    read = records.read(path)
    header = read.header
    wanted = [name for name in columns.values() if name is not None]
    if missing := [name for name in wanted if name not in header]:
        hint = f"; {advice}" if len(header) > 1 else "; cells are separated by commas"
        raise InputError(f"{path}: no column {', '.join(map(repr, missing))}; there are {header}{hint}")
    if repeated := [name for name in wanted if header.count(name) > 1]:
        raise InputError(f"{path}: several columns are called {', '.join(map(repr, repeated))}; rename all but one")
    data = {ours: "" if name is None else read.column(name) for ours, name in columns.items()}
    return pd.DataFrame(data, index=read.cells.index, dtype="str")


def _from_one_hot(table: pd.DataFrame, names: Sequence[str], path: Path) -> pd.Series:
    """Return the name of the column that holds 1; "" where none does."""
    ones = _ones(table, names, path)
    if (several := ones.sum(axis=1) > 1).any():
        shown = {row: "+".join(np.array(names)[ones[at]]) for at, row in enumerate(table.index) if several[at]}
        raise InputError(
            f"{path}: {several.sum()} rows have a 1 in several of the columns {some(list(names))}, but an image has one"
            f" class here; if it has several labels, say contest.task: labels: {_rows(pd.Series(shown))}"
        )
    return pd.Series(np.where(ones.any(axis=1), np.array(names)[ones.argmax(axis=1)], ""), table.index, dtype="str")


def _ones(table: pd.DataFrame, names: Sequence[str], path: Path) -> np.ndarray:
    """Return where columns of 0 and 1 hold 1 (rows, names)."""
    cells = table[[f"label {name}" for name in names]].apply(lambda column: column.str.strip())
    numbers = cells.map(_flag)
    ones = (numbers == 1).to_numpy(bool)
    if (wrong := ~(ones | (numbers == 0).to_numpy(bool) | (cells == "").to_numpy())).any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{path}: row {table.index[row]}, column {names[column]!r}: {cells.iloc[row, column]!r} is neither 0 nor 1;"
            " one-hot columns hold one 1 a row, and shares or votes are no labels here"
        )
    return np.asarray(ones)


def _flag(cell: str) -> Decimal | None:
    return as_number(FLAGS.get(cell.lower(), cell))


def _from_binary(table: pd.DataFrame, names: Sequence[str], path: Path) -> pd.Series:
    """Return the names of the columns that hold 1, as a JSON list; "" where all cells are empty."""
    ones = _ones(table, names, path)
    is_empty = table[[f"label {name}" for name in names]].apply(lambda column: column.str.strip() == "").all(axis=1)
    found = [json.dumps([name for name, one in zip(names, row, strict=True) if one]) for row in ones]
    return pd.Series(found, table.index, dtype="str").where(~is_empty, "")


def _as_sets(cells: pd.Series, separator: str | None, label_type: str, path: Path) -> pd.Series:
    """Return each row's labels as a cell of podium.core.targets; "" where they are unknown.

    Args:
        cells: indexed by row; with a separator between labels, or of `_from_binary`.
        separator: None for cells of `_from_binary`.
        label_type, path: as `read_labels`.
    """
    filled = cells[cells.map(lookalikes.visible) != ""]
    lists = filled.map(json.loads if separator is None else lambda cell: cell.split(separator))
    single = lists.explode().dropna().astype("str").str.strip()
    single = one_spelling(single[single != ""], label_type, str(path))
    if wrong := sorted({name for name in single if targets.BETWEEN in name}):
        raise InputError(
            f"{path}: labels hold {targets.BETWEEN!r}: {some(wrong)}; Podium separates labels by it: rename them,"
            " or correct contest.columns.separator"
        )
    names = single.groupby(level=0).agg(targets.as_cell).reindex(filled.index)
    return names.fillna(targets.as_cell([]) if separator is None else "").reindex(cells.index, fill_value="")


def _labels(labels: pd.Series, label_type: str, path: Path, whole_labels: Sequence[str]) -> pd.Series:
    """Check the labels (indexed by row) and give each class one spelling; a label without a visible character is ""."""
    labels = labels.where(~labels.isin([label for label in labels.unique() if not lookalikes.visible(label)]), "")
    filled = labels[labels != ""]
    _refuse_several(filled, path, whole_labels)
    return one_spelling(filled, label_type, str(path)).reindex(labels.index, fill_value="")


def _count(labels: pd.Series, classes: Iterable[str], label_type: str) -> dict[str, int]:
    """Count labels without an image by class, in the spelling of the images' classes; they need not be valid."""
    known = {lookalikes.visible(name): name for name in classes}
    counted: Counter[str] = Counter()
    for label, n in labels.value_counts().items():
        number = as_number(label) if label_type == "number" else None
        text = lookalikes.visible(label) if number is None else number_text(number)
        counted[known.get(text, text)] += int(n)
    return {name: n for name, n in sorted(counted.items()) if name}


def _refuse_several(labels: pd.Series, path: Path, whole_labels: Sequence[str]) -> None:
    known = frozenset(labels.str.strip())
    whole = {label.strip() for label in whole_labels}
    several = [label for label in labels.unique() if label.strip() not in whole and _is_several(label.strip(), known)]
    if several:
        example = json.dumps([label.strip() for label in several[:_SHOWN]], ensure_ascii=False)
        raise InputError(
            f"{path}: several labels in one cell, but an image has one class here; if it has several labels, say"
            " contest.task: labels; if such a label is one class, say contest.whole_labels:"
            f" {legible(example)}: {_rows(labels[labels.isin(several)])}"
        )


def _refuse_unknown(whole_labels: Sequence[str], labels: set[str], path: Path) -> None:
    if wrong := sorted({label.strip() for label in whole_labels} - {label.strip() for label in labels}):
        raise InputError(
            f"params.yaml: contest.whole_labels: {some(list(map(repr, wrong)))}: no label of {path}; correct or remove"
            " the entry"
        )


def _refuse_equal_groups(groups: pd.Series, path: Path) -> None:
    """Refuse groups that differ only by invisible characters: folds would split one group."""
    odd = [group for group in groups.unique() if not group.isascii()]  # ids of millions of groups are mostly ASCII
    if odd and (alike := lookalikes.groups(groups, lookalikes.visible)):
        raise InputError(
            f"{path}: groups that differ only by invisible characters: {some(list(map(lookalikes.described, alike)))};"
            " spell them the same"
        )


def _is_several(label: str, known: frozenset[str]) -> bool:
    """Return whether a cell looks like a list, or splits into labels that stand alone in other rows."""
    parts = ([part.strip() for part in re.split(separator, label)] for separator in _SEPARATORS)
    return bool(_LIST.fullmatch(label)) or any(len(p) > 1 and known.issuperset(p) for p in parts)


def one_spelling(labels: pd.Series, label_type: str, where: str) -> pd.Series:
    """Give equal numbers one spelling; refuse texts that differ only in spelling, or are unsafe to show."""
    for pattern, fault in _UNSAFE.items():
        if (unsafe := labels[labels.str.contains(pattern, regex=True)]).size:
            raise InputError(f"{where}: labels hold {fault}; correct them: {_rows(unsafe)}")
    numbers = {label: as_number(label) for label in labels.unique()}
    if label_type == "number":
        if wrong := [label for label, number in numbers.items() if number is None]:
            raise InputError(
                f"{where}: not numbers, but contest.label_type is number; correct them, or say `label_type: text`:"
                f" {_rows(labels[labels.isin(wrong)])}"
            )
        return labels.map({label: number_text(number) for label, number in numbers.items() if number is not None})
    _refuse_equal(
        labels, numbers, where, "are the same number; say `label_type: number` in contest, or spell them the same"
    )
    stripped = {label: label.strip() for label in numbers}
    _refuse_equal(labels, stripped, where, "differ only in the whitespace around them; spell them the same")
    in_one_form = {label: composed(label) for label in numbers}
    _refuse_equal(
        labels, in_one_form, where, "look the same but have different Unicode characters; spell them the same"
    )
    _refuse_invisible(labels, where)
    return labels


def _refuse_invisible(labels: pd.Series, where: str) -> None:
    """Refuse labels (indexed by row) of which nothing can be seen, or that differ by invisible characters alone."""
    if unseen := [label for label in labels.unique() if not lookalikes.visible(label)]:
        raise InputError(
            f"{where}: labels of invisible characters alone: {some(list(map(repr, unseen)))}; correct them"
        )
    for alike in lookalikes.groups(labels, lookalikes.visible):
        first = labels[labels.isin(alike)].drop_duplicates()
        raise InputError(
            f"{where}: labels {lookalikes.described(alike)} differ only by invisible characters or kinds of spaces;"
            f" spell them the same: {_rows(first)}"
        )


def _refuse_equal(labels: pd.Series, meanings: Mapping[str, Any], where: str, fault: str) -> None:
    """Refuse labels (indexed by row) of one meaning; `meanings` maps a label to it, None for a label without one."""
    spellings = defaultdict(list)
    for label, meaning in meanings.items():
        if meaning is not None:
            spellings[meaning].append(label)
    for equal in spellings.values():
        if len(equal) > 1:
            first = labels[labels.isin(equal)].drop_duplicates()
            raise InputError(f"{where}: labels {', '.join(map(repr, equal))} {fault}: {_rows(first)}")


def _require_folds(table: pd.DataFrame, path: Path, fold_column: str) -> None:
    lacking = table[(table["label"] != "") & (table["fold"] == "")]
    if not lacking.empty:
        raise InputError(f"{path}: a labelled image has no fold in column {fold_column!r}: {_rows(lacking['id'])}")


def _without_repeats(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Keep one row per image; repeated rows that agree are a problem, rows that do not are an error."""
    repeated = table[table["image_id"].duplicated(keep=False)]
    problems = []
    for image_id, rows in repeated.groupby("image_id"):
        numbers = ", ".join(map(str, rows.index))
        if len(rows[["label", "group", "fold"]].drop_duplicates()) > 1:
            raise InputError(
                f"{path}: rows {numbers}: {image_id} has different labels, groups or folds"
                f" ({_rows(rows['label'])}); keep one, or with contest.task: labels write all its labels into one row"
            )
        problems.append((str(image_id), f"{path.name}: rows {numbers}: stands there with the same label; one is used"))
    return table.drop_duplicates("image_id"), problems


def _require_image(images: ImageIndex, written: str, place: str) -> str:
    image_id = images.find(written, place)
    if image_id is None:
        raise InputError(f"{place}: there is no train image {written!r}; correct or remove the row ({_FORM})")
    return image_id


def _action(written: str, known: frozenset[str], label_type: str, place: str) -> str:
    """Return the class that an override's action means, or DROP."""
    number = as_number(written) if label_type == "number" else None
    action = written if number is None else number_text(number)
    if action == DROP and DROP in known:
        raise InputError(f"{place}: a class is called `{DROP}`, so this action is ambiguous; rename the class")
    if action != DROP and action not in known:
        raise InputError(
            f"{place}: action {written!r} is neither `{DROP}` nor a class: {some(sorted(known), 20)}"
            f"{lookalikes.hint(written, known)} ({_FORM})"
        )
    return action


def _set_action(written: str, known: frozenset[str], label_type: str, place: str) -> str:  # noqa: ARG001
    """Return the set of labels that an override's action means, or DROP."""
    names = targets.of_cell(written)
    if written == DROP:
        return DROP
    if not targets.is_cell(written) or not known.issuperset(names):
        raise InputError(
            f"{place}: action {written!r} is neither `{DROP}` nor a set of labels such as {targets.as_cell(known)!r}"
            f" ({_FORM})"
        )
    return targets.as_cell(names)


def _rows(values: pd.Series) -> str:
    """Name the first rows of a series that is indexed by row, or by class folder."""
    return some([f"row {row} {value!r}" if isinstance(row, int) else repr(row) for row, value in values.items()])
