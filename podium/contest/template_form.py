"""The form of a template: which of its columns hold ids and values, and the images and the class that a row means.

Most templates have the id first and values after it. `contest.submission` names the columns of others. A long template
has a row per image and class: its class stands in a column of its own, or in the id.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from podium.contest.ids import ImageIndex, as_number
from podium.contest.settings import SubmissionSettings
from podium.core.errors import InputError

INDEX = ("", "Unnamed: 0")  # how pandas heads a column of row numbers


class RowMeaning(NamedTuple):
    """What a row of a template asks for.

    Attributes:
        images: the test images that are predicted together, mostly one; () if there is none.
        class_text: the class as the template writes it; "" if the template is not long.
    """

    images: tuple[str, ...]
    class_text: str


class RowReader:
    """Finds the test images that an id of a template means.

    Args:
        test_ids: image_ids of the test images.
        by_id: id -> its images, where the ids are not names of files.
        id_pattern: a regular expression with a group `id` and perhaps `class`, for ids that hold more.
        others: files of the test folder that are no images, found only where no image has the id.
        folder: name of the test folder; an id may begin with it.
    """

    def __init__(
        self,
        test_ids: Sequence[str],
        by_id: Mapping[str, Sequence[str]],
        id_pattern: str | None,
        others: Sequence[str] = (),
        folder: str = "",
    ):
        self._index = ImageIndex(test_ids, others, folder)
        self._by_id = {**by_id, **images_by_id(by_id, test_ids)}
        self._pattern = re.compile(id_pattern) if id_pattern else None

    def fits(self, written: str) -> bool:
        """Say whether `id_pattern` fits an id."""
        return self._pattern is None or self._pattern.fullmatch(written.strip()) is not None

    def read(self, written: str, place: str) -> RowMeaning:
        """Return the images and the class of a row's id.

        Raises:
            InputError: as ImageIndex.find.
        """
        text, class_text = written, ""
        if self._pattern is not None:
            if (found := self._pattern.fullmatch(written.strip())) is None:
                return RowMeaning((), "")
            text, class_text = found["id"], found.groupdict().get("class") or ""
        if images := self._by_id.get(text) or self._by_id.get(text.strip()):
            return RowMeaning(tuple(images), class_text)
        image_id = self._index.find(text, place)
        return RowMeaning(() if image_id is None else (image_id,), class_text)


@dataclass(frozen=True)
class TemplateColumns:
    """Positions of a template's columns; the submission copies all others.

    Attributes:
        id: of the ids.
        values: of the values; () in a template of ids alone.
        row_class: of the class of each row in a long template; None if there is no such column.
    """

    id: int
    values: tuple[int, ...]
    row_class: int | None


def images_by_id(by_id: Mapping[str, Sequence[str]], test_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return each id's images, without files that are no images, and without ids of such files alone."""
    known = set(test_ids)
    kept = {name: [image_id for image_id in images if image_id in known] for name, images in by_id.items()}
    return {name: images for name, images in kept.items() if images}


def id_position(cells: pd.DataFrame, reader: RowReader | None, settings: SubmissionSettings, path: Path) -> int:
    """Return the position of the ids: `contest.submission.id`, or else the first column that is no index.

    An index is a column that pandas wrote: numbers from 0 or 1 below an empty header, and image ids beside it; or,
    where no test image is known (no reader), texts that differ in each row and are no probabilities.

    Raises:
        InputError: there is no column of that name.
    """
    first_row = [str(cell) for cell in cells.iloc[0]]
    if settings.id is not None:
        return _named(first_row, settings.id, "id", path)
    if len(first_row) > 1 and len(cells) > 1 and first_row[0] in INDEX:
        numbers = list(cells.iloc[1:, 0])
        counted = any(numbers == [str(start + i) for i in range(len(numbers))] for start in (0, 1))
        if reader is None:
            beside = cells.iloc[1:, 1]
            are_probs = all(as_number(text) is not None and "." in text for text in beside)
            return int(counted and beside.is_unique and not are_probs)
        if counted and reader.read(str(cells.iloc[1, 1]), f"{path}: row 2").images:
            return 1
    return 0


def columns(
    header: Sequence[str] | None, width: int, position: int, settings: SubmissionSettings, path: Path
) -> TemplateColumns:
    """Return the positions of all columns.

    Raises:
        InputError: the settings name a column that is missing or not unique, or the template has no header; or no
            column follows the ids, but others come before them.
    """
    named = {key: getattr(settings, key) for key in ("value", "class_column")}
    if header is None and (wanted := [key for key, name in named.items() if name is not None]):
        raise InputError(f"params.yaml: contest.submission.{wanted[0]}: {path} has no header that could name a column")
    names = list(header or ())
    row_class = None if settings.class_column is None else _named(names, settings.class_column, "class_column", path)
    values = tuple(at for at in range(position + 1, width) if at != row_class)
    if settings.value is not None:
        values = (_named(names, settings.value, "value", path),)
    elif not values and (before := [name for name in names[:position] if name not in INDEX]):
        raise InputError(
            f"params.yaml: contest.submission.value: {path} has no column after the ids; name the column of"
            f" values, one of {before}"
        )
    taken = [at for at in (position, *values, row_class) if at is not None]
    if double := [names[at] for at in taken if taken.count(at) > 1]:
        raise InputError(
            f"params.yaml: contest.submission: {double[0]!r} of {path} is named for two of id, value and class_column;"
            " name different columns"
        )
    return TemplateColumns(position, values, row_class)


def class_texts(rows: pd.DataFrame, places: TemplateColumns, settings: SubmissionSettings) -> list[str]:
    """Return the class of each row of a long template, without rows that name none; [] if it is not long."""
    if places.row_class is not None:
        return list(rows[places.row_class])
    if not is_long(settings):
        return []
    pattern = re.compile(settings.id_pattern or "")
    found = [pattern.fullmatch(written.strip()) for written in rows[places.id]]
    return [match["class"] or "" for match in found if match is not None]


def is_long(settings: SubmissionSettings) -> bool:
    """Say whether the template has a row per image and class."""
    pattern = settings.id_pattern
    return settings.class_column is not None or (pattern is not None and "class" in re.compile(pattern).groupindex)


def _named(names: Sequence[str], name: str, key: str, path: Path) -> int:
    if list(names).count(name) != 1:
        raise InputError(
            f"params.yaml: contest.submission.{key}: {path} must have one column {name!r}; it has {list(names)}"
        )
    return list(names).index(name)
