"""Where labels come from: one reader per `contest.layout`, all with the same result.

csv      a table (podium.contest.records); its label column, or one-hot columns
folders  the first folder of each image
names    a regular expression on each image's path

`contest.columns.classes` then renames labels, so that several become one class.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from podium.contest import labels
from podium.contest.ids import ImageIndex
from podium.contest.settings import ContestSettings
from podium.core.errors import InputError, some

Given = tuple[pd.DataFrame, list[labels.Problem]]  # as labels.read_labels


def read(image_ids: Iterable[str], c: ContestSettings, root: Path) -> Given:
    """Read the labels as the section `contest` says.

    Returns:
        as labels.read_labels.

    Raises:
        InputError: as the reader; or `classes` names a label that is not there.
    """
    given, problems = SOURCES[c.layout](sorted(image_ids), c, root)
    if c.columns.classes:
        given = given.assign(label=_renamed(given["label"], c.columns.classes))
    return given, problems


def _from_table(image_ids: list[str], c: ContestSettings, root: Path) -> Given:
    return labels.read_labels(
        root / c.labels,
        images=ImageIndex(image_ids, folder=Path(c.images.train).name),
        id_column=c.columns.id,
        label_column=c.columns.label,
        group_column=c.columns.group,
        fold_column=c.columns.fold,
        label_type=c.label_type,
    )


def _from_folders(image_ids: list[str], c: ContestSettings, root: Path) -> Given:  # noqa: ARG001
    return labels.folder_labels(image_ids, label_type=c.label_type)


def _from_names(image_ids: list[str], c: ContestSettings, root: Path) -> Given:  # noqa: ARG001
    """Read label, group and fold from the named groups of `contest.columns.pattern`, found anywhere in the path."""
    pattern = re.compile(c.columns.pattern or "")
    found = {image_id: match for image_id in image_ids if (match := pattern.search(image_id))}
    if not found:
        raise InputError(
            f"params.yaml: contest.columns.pattern: {pattern.pattern} fits no train image: {some(image_ids, 3)}"
        )
    groups = {name: {i: m.groupdict().get(name) or "" for i, m in found.items()} for name in ("label", "group", "fold")}
    where = f"contest.columns.pattern {pattern.pattern}"
    label = labels.one_spelling(pd.Series(groups["label"], dtype="str"), c.label_type, where)
    table = pd.DataFrame({"image_id": list(found), "label": list(label)} | {k: list(groups[k].values()) for k in
                         ("group", "fold")}, dtype="str")  # fmt: skip
    lacking = [(i, "contest.columns.pattern does not fit its name") for i in image_ids if i not in found]
    return table, lacking


SOURCES: dict[str, Callable[[list[str], ContestSettings, Path], Given]] = {
    "csv": _from_table,
    "folders": _from_folders,
    "names": _from_names,
}


def _renamed(given: pd.Series, classes: Mapping[str, str]) -> pd.Series:
    known = set(given)
    if unknown := [label for label in classes if label not in known]:
        raise InputError(
            f"params.yaml: contest.columns.classes: no image has the label {some(unknown)}; the labels are"
            f" {some(sorted(known - {''}), 20)}"
        )
    return given.replace(dict(classes))
