"""Several images of one case: which images they are, and the mean of their predictions, as `ensemble` takes it.

The case of an image comes from a pattern of its path (recipe.json), or from a table (CSV) with a column of files and
one of cases. An image of neither is a case by itself.
"""

import csv
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.contest.ids import ImageIndex
from podium.core.errors import InputError, some

ALONE = "none"  # in the place of a table: every image by itself
SEPARATORS = ";\t|"  # of cells, besides commas
FILE, CASE = "image_id", "case"  # columns of a table, unless it has the contest's own


def of_images(image_ids: Sequence[str], rule: dict[str, Any] | None, table: str, folder: str = "") -> list[str] | None:
    """Return the case of each image, "" for one by itself; None if each one is.

    Args:
        image_ids: of the files: paths inside the folder.
        rule: `cases` of recipe.json.
        table: path of a CSV; "" for the rule alone; ALONE.
        folder: name of the images' folder; paths in the table may begin with it.

    Raises:
        InputError: the contest averages images by case, but neither a pattern nor a table gives the cases; or the table
            is invalid.
    """
    if table == ALONE or (not table and rule is None):
        return None
    if table:
        return _of_table(image_ids, rule or {}, Path(table), folder)
    assert rule is not None
    if rule["pattern"] is not None:
        return [match["id"] if (match := re.search(rule["pattern"], name)) else "" for name in image_ids]
    if len(image_ids) == 1:
        return None
    case = "its first column" if rule["id"] is None else repr(rule["id"])
    raise InputError(
        "the contest averages predictions by case, so give the case of each image: a CSV with the columns"
        f" {rule['file']!r} (files) and {case} (cases), or {FILE!r} and {CASE!r}; or {ALONE!r} for each image by"
        " itself. In a project it is CASES=<CSV>, in a bundle the third argument"
    )


def _of_table(image_ids: Sequence[str], rule: dict[str, Any], path: Path, folder: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            first = opened.readline()
            opened.seek(0)
            mark = "," if "," in first else next((one for one in SEPARATORS if one in first), ",")
            header, *rows = csv.reader(opened, delimiter=mark)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(f"{path}: found no CSV header; the file must be in UTF-8 ({error})") from None
    own = (rule["file"], rule["id"] or header[0]) if rule.get("file") else (FILE, CASE)
    names = own if set(own) <= set(header) else (FILE, CASE)
    if missing := sorted(set(names).difference(header)):
        wanted = " or ".join(f"{file!r} and {case!r}" for file, case in dict.fromkeys((own, (FILE, CASE))))
        raise InputError(f"{path}: no column {missing[0]!r}; it needs {wanted}, and has {some(header)}")
    file, case = (header.index(name) for name in names)
    index, found = ImageIndex(image_ids, folder=folder), dict.fromkeys(image_ids, "")
    for number, row in enumerate(rows, 2):
        if len(row) <= max(file, case) or not row[case].strip():
            continue
        image_id = index.find(row[file], f"{path}: row {number}")
        if image_id is None:
            continue
        name = row[case].strip()
        if found[image_id] not in ("", name):
            raise InputError(f"{path}: row {number}: {image_id} has two cases: {some([found[image_id], name])}")
        found[image_id] = name
    if not any(found.values()):
        raise InputError(f"{path}: names none of the images, e.g. {index.examples()}")
    return list(found.values())


@dataclass
class CaseMeans:
    """Means over the images of each case, of images that come in chunks.

    Attributes:
        of_image: (images,) number of the case of each image, in the order in which they come.
    """

    of_image: NDArray[np.int64]
    _sums: dict[Hashable, NDArray[np.float64]] = field(default_factory=dict)
    _counts: dict[Hashable, NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def of(cls, image_ids: Sequence[str], cases: Sequence[str]) -> "CaseMeans":
        """Number the cases; an image of no case ("") is one by itself."""
        names = [f"case {case}" if case else f"image {image}" for image, case in zip(image_ids, cases, strict=True)]
        return cls(np.unique(np.asarray(names, str), return_inverse=True)[1])

    @property
    def n_cases(self) -> int:
        """Return the number of cases."""
        return int(self.of_image.max()) + 1

    def add(self, name: Hashable, places: NDArray[np.int64], probs: NDArray[Any]) -> None:
        """Add the predictions of some images.

        Args:
            name: whose predictions they are.
            places: (n,) of the images, in the order of `of_image`.
            probs: (n, classes).
        """
        if name not in self._sums:
            self._sums[name] = np.zeros((self.n_cases, probs.shape[1]))
            self._counts[name] = np.zeros(self.n_cases, np.int64)
        np.add.at(self._sums[name], self.of_image[places], probs)
        np.add.at(self._counts[name], self.of_image[places], 1)

    def mean(self, name: Hashable) -> NDArray[np.float64]:
        """Return the means (cases, classes); those of a case without a readable image mean nothing."""
        return np.asarray(self._sums[name] / np.maximum(self._counts[name], 1)[:, None])
