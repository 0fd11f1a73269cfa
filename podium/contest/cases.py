"""Cases: several images of one thing (both views of a breast, a study's slices), predicted by their mean.

`contest.columns.case` names the column, or the columns, whose cells identify a case; with `layout: names` a group
`case` of the pattern does. If it is the column of ids, each id names the folder of a case's images. A case is a group
too, so all its images are in one fold, and they have one label.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from podium.contest import records
from podium.contest.ids import ImageIndex
from podium.contest.labels import GivenLabels
from podium.contest.settings import ContestSettings
from podium.core.errors import InputError, some

BETWEEN = "/"  # the cells of several columns


def has_cases(c: ContestSettings) -> bool:
    """Say whether several images may be one case."""
    return c.columns.case is not None or "case" in re.compile(c.columns.pattern or "").groupindex


def names_folders(c: ContestSettings) -> bool:
    """Say whether the ids of the label table name folders, whose images are a case: columns.case is columns.id."""
    return c.columns.case is not None and c.columns.case == c.columns.id


def of_folders(image_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the name of each folder -> the images in it and below it."""
    found: dict[str, list[str]] = {}
    for image_id in image_ids:
        for folder in dict.fromkeys(image_id.split("/")[:-1]):
            found.setdefault(folder, []).append(image_id)
    return found


def read(image_ids: Iterable[str], c: ContestSettings, root: Path) -> dict[str, str]:
    """Return image_id -> case, of the images that have one; {} if the contest has no cases.

    Raises:
        InputError: the label table lacks a column, or gives an image two cases.
    """
    if not has_cases(c):
        return {}
    if c.columns.case is None:
        pattern = re.compile(c.columns.pattern or "")
        found = {image_id: match["case"] or "" for image_id in image_ids if (match := pattern.search(image_id))}
        return {image_id: case for image_id, case in found.items() if case}
    names = [c.columns.case] if isinstance(c.columns.case, str) else list(c.columns.case)
    table, path = records.read(root / c.labels), root / c.labels
    if missing := [name for name in (c.columns.id, *names) if name not in table.header]:
        raise InputError(f"{path}: no column {missing[0]!r}; there are {table.header}; see contest.columns.case")
    if names_folders(c):
        known = set(table.column(c.columns.id).str.strip())
        return {
            image_id: case for case, inside in of_folders(image_ids).items() if case in known for image_id in inside
        }
    index = ImageIndex(image_ids, folder=Path(c.images.train).name)
    cells = zip(*(table.column(name).str.strip() for name in names), strict=True)
    cases: dict[str, str] = {}
    for (row, written), parts in zip(table.column(c.columns.id).items(), cells, strict=True):
        image_id = index.find(written, f"{path}: row {row}")
        if image_id is None or not any(parts):
            continue
        if cases.setdefault(image_id, BETWEEN.join(parts)) != BETWEEN.join(parts):
            both = some([cases[image_id], BETWEEN.join(parts)])
            raise InputError(f"{path}: row {row}: {image_id} has two cases: {both}; keep one (contest.columns.case)")
    return cases


def require_one_label(labels: pd.DataFrame, cases: dict[str, str]) -> None:
    """Refuse overrides that give the images of a case several labels.

    Args:
        labels: contracts.LABELS.
        cases: of `read`.

    Raises:
        InputError: names a case and its labels.
    """
    used = labels[(labels["use"] == "train") & labels["image_id"].isin(cases.keys())]
    counts = used.groupby(used["image_id"].map(cases))["label"].nunique()
    if several := list(counts[counts > 1].index):
        own = used[used["image_id"].map(cases) == several[0]]
        rows = [f"{image_id} {label}" for image_id, label in own[["image_id", "label"]].to_numpy()]
        raise InputError(
            f"contest.overrides: {len(several)} cases get several labels, e.g. {several[0]!r}: {some(rows)}; give all"
            " images of a case one label, or drop those of another"
        )


def grouped(given: GivenLabels, cases: dict[str, str]) -> GivenLabels:
    """Return the labels; an image of a case that has no group gets its case as the group.

    Raises:
        InputError: images of a case have several labels or groups.
    """
    if not cases:
        return given
    table = given.table.assign(case=given.table["image_id"].map(cases).fillna(""))
    inside = table[table["case"] != ""]
    for column in ("label", "group"):
        counts = inside.groupby("case")[column].nunique()
        if several := list(counts[counts > 1].index):
            what = sorted(inside.loc[inside["case"] == several[0], column].unique())
            raise InputError(
                f"contest.columns.case: {len(several)} cases have images with several {column}s, e.g. {several[0]!r}:"
                f" {some(what)}; correct the table, or name the columns that tell these cases apart"
            )
    table["group"] = table["group"].where((table["group"] != "") | (table["case"] == ""), "case " + table["case"])
    return given._replace(table=table.drop(columns="case"))
