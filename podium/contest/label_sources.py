"""Where labels come from: one reader per `contest.layout`, all with the same result.

csv      a table (podium.contest.records); its label column, or one-hot columns
folders  the first folder of each image
names    a regular expression on each image's path

`contest.columns.classes` then renames labels, so that several become one class.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from podium.contest import cases, labels
from podium.contest.ids import ImageIndex
from podium.contest.labels import GivenLabels
from podium.contest.settings import ContestSettings
from podium.core import targets
from podium.core.errors import InputError, some


@dataclass(frozen=True)
class TrainFiles:
    """Ids of the files in the folder of train images.

    Attributes:
        images: broken ones too.
        others: files that are no images; a label table may name them as images.
        left_out: files that `contest.lists` leaves out; a label table may name them, too.
    """

    images: Sequence[str]
    others: Sequence[str] = ()
    left_out: Sequence[str] = ()


def read(files: TrainFiles, c: ContestSettings, root: Path) -> GivenLabels:
    """Read the labels as the section `contest` says.

    Raises:
        InputError: as the reader; or `classes` names a label that is not there.
    """
    given = SOURCES[c.layout](files, c, root)
    given = cases.grouped(given, cases.read(given.table["image_id"], c, root))
    given = _renamed(given, c.columns.classes, c.task == "labels") if c.columns.classes else given
    if c.task == "classes" and (wrong := sorted(filter(targets.is_cell, set(given.table["label"])))):
        where = root / c.labels if c.layout == "csv" else f"params.yaml: contest.layout: {c.layout}"
        raise InputError(
            f"{where}: classes in braces: {some(wrong)}, which is how Podium writes sets of labels; rename them, e.g."
            " by contest.columns.classes"
        )
    return given


def class_names(given: GivenLabels) -> list[str]:
    """Return the classes of the images' labels; LabelNames where an image has a set of them."""
    return targets.class_names(set(given.table["label"]) - {""})


def _from_table(files: TrainFiles, c: ContestSettings, root: Path) -> GivenLabels:
    folder = Path(c.images.train).name
    return labels.read_labels(
        root / c.labels,
        images=ImageIndex(files.images, files.others, folder),
        id_column=c.columns.id,
        label_column=c.columns.label,
        group_column=c.columns.group,
        fold_column=c.columns.fold,
        label_type=c.label_type,
        whole_labels=c.whole_labels,
        left_out=ImageIndex(files.left_out, folder=folder) if files.left_out else None,
        folders=cases.of_folders(files.images) if cases.names_folders(c) else None,
        sets=c.task == "labels",
        separator=c.columns.separator,
    )


def _from_folders(files: TrainFiles, c: ContestSettings, root: Path) -> GivenLabels:  # noqa: ARG001
    return GivenLabels(*labels.folder_labels(files.images, label_type=c.label_type), {})


def _from_names(files: TrainFiles, c: ContestSettings, root: Path) -> GivenLabels:  # noqa: ARG001
    """Read label, group and fold from the named groups of `contest.columns.pattern`, found anywhere in the path."""
    image_ids = sorted(files.images)
    pattern = re.compile(c.columns.pattern or "")
    found = {image_id: match for image_id in image_ids if (match := pattern.search(image_id))}
    if not found:
        raise InputError(
            f"params.yaml: contest.columns.pattern: {pattern.pattern} fits no train image: {some(image_ids, 3)}"
        )
    groups = {name: {i: m.groupdict().get(name) or "" for i, m in found.items()} for name in ("label", "group", "fold")}
    where = f"contest.columns.pattern {pattern.pattern}"
    label = labels.one_spelling(pd.Series(groups["label"], dtype="str"), c.label_type, where)
    columns = {"image_id": list(found), "label": list(label)}
    columns |= {name: list(groups[name].values()) for name in ("group", "fold")}
    table = pd.DataFrame(columns, dtype="str")
    lacking = [(i, "contest.columns.pattern does not fit its name") for i in image_ids if i not in found]
    return GivenLabels(table, lacking, {})


SOURCES: dict[str, Callable[[TrainFiles, ContestSettings, Path], GivenLabels]] = {
    "csv": _from_table,
    "folders": _from_folders,
    "names": _from_names,
}


_CLASSES = "params.yaml: contest.columns.classes"


def _renamed(given: GivenLabels, classes: Mapping[str, str], sets: bool) -> GivenLabels:
    """Rename labels, in sets too; the new names must be as safe and distinct as labels of a table."""
    written = [*given.table["label"], *given.without_image]
    known = targets.names_in(written) if sets else set(written)
    if unknown := [label for label in classes if label not in known]:
        raise InputError(
            f"{_CLASSES}: no image has the label {some(unknown)}; the labels are {some(sorted(known - {''}), 20)}"
        )
    names = {label: classes.get(label, label) for label in sorted(known)}
    labels.one_spelling(pd.Series(names, dtype="str").loc[lambda new: new != ""], "text", _CLASSES)
    without_image: Counter[str] = Counter()

    def renamed(cell: str) -> str:
        if sets and targets.is_cell(cell):
            return targets.as_cell(classes.get(name, name) for name in targets.of_cell(cell))
        return classes.get(cell, cell)

    for label, n in given.without_image.items():
        without_image[renamed(label)] += n
    table = given.table.assign(label=given.table["label"].map(renamed))
    return GivenLabels(table, given.problems, dict(sorted(without_image.items())))
