"""Which files of an image folder are the contest's, and the ids that test images have in the template.

Without `contest.lists` every file of the folder is, and an id is a file's name. A list (any table that
podium.contest.records reads, e.g. the label CSV or the template) or a regular expression picks some files, so train and
test may lie in one folder. A list of test images may also hold an id for each file, and one id for several files.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from podium.contest import records
from podium.contest.ids import ImageIndex
from podium.contest.list_settings import ImageLists
from podium.core.errors import InputError, some
from podium.core.placeholders import NO_FILE


@dataclass(frozen=True)
class ImageSelection:
    """The images of a subset.

    Attributes:
        ids: image_id -> its id in the template, for each image of the subset; the image_id where it has no other.
        has_ids: whether ids are other than names of files.
        missing: entries of the list that name no file.
    """

    ids: dict[str, str]
    has_ids: bool
    missing: tuple[str, ...]

    @property
    def by_id(self) -> dict[str, list[str]]:
        """Return the images of each id; {} if ids are names of files."""
        found = defaultdict(list)
        for image_id, own in self.ids.items() if self.has_ids else ():
            found[own].append(image_id)
        return dict(found)


def select(image_ids: Iterable[str], lists: ImageLists, subset: str, root: Path, folder: str) -> ImageSelection:
    """Pick the images of a subset from all files of its folder.

    Args:
        image_ids: of the files.
        lists: of the contest.
        subset: "train" or "test".
        root: of the project.
        folder: the image folder's path; paths in a list may begin with its name.

    Raises:
        InputError: a list has not the columns that the settings name, or no file is left.
    """
    found, has_ids = {image_id: image_id for image_id in image_ids}, False
    missing: list[str] = []
    if pattern := getattr(lists, f"{subset}_pattern"):
        matches = {image_id: m for image_id in found if (m := re.search(pattern, image_id))}
        has_ids = "id" in re.compile(pattern).groupindex
        found = {image_id: m["id"] if has_ids else image_id for image_id, m in matches.items()}
        if not found:
            raise InputError(f"params.yaml: contest.lists.{subset}_pattern: {pattern} fits no file of {folder}")
    if (written := getattr(lists, subset)) != NO_FILE:
        columns = ListColumns(lists.file, lists.id)
        if subset == "train" and lists.train_id is not None:
            columns = ListColumns(None, lists.train_id)
        listed, missing = _listed(root / written, ImageIndex(found, folder=Path(folder).name), columns)
        if not listed:
            raise InputError(
                f"params.yaml: contest.lists.{subset}: {written} names no file of {folder}, e.g. {some(missing, 3)};"
                " correct contest.lists.file or the folder"
            )
        has_ids = has_ids or columns.file is not None
        found = {image_id: own if columns.file is not None else found[image_id] for image_id, own in listed.items()}
    return ImageSelection(dict(sorted(found.items())), has_ids, tuple(missing))


class ListColumns(NamedTuple):
    """The columns of a list, as ImageLists names them."""

    file: str | None
    id: str | None


def _listed(path: Path, images: ImageIndex, columns: ListColumns) -> tuple[dict[str, str], list[str]]:
    """Return {image_id: id} of a list, and its entries without a file."""
    table = records.read(path)
    names = [table.header[0] if name is None else name for name in (columns.file or columns.id, columns.id)]
    if lacking := [name for name in names if name not in table.header]:
        raise InputError(f"{path}: no column {lacking[0]!r}; there are {table.header}; see contest.lists")
    files, own = table.column(names[0]), table.column(names[1]).str.strip()
    found: dict[str, str] = {}
    missing: list[str] = []
    first = table.header[0]
    if columns == ListColumns(None, None) and first.strip():  # a list without a header begins with an image
        image_id = images.find(first, f"{path}: row 1")
        found |= {} if image_id is None else {image_id: first}
    for row, file, name in zip(files.index, files, own, strict=True):
        image_id = images.find(file, f"{path}: row {row}")
        if image_id is None:
            missing.append(file)
        elif found.setdefault(image_id, name) != name:
            raise InputError(f"{path}: row {row}: {image_id} has two ids: {some([found[image_id], name])}; keep one")
    return found, missing
