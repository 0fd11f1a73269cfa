"""Predictions made elsewhere: a CSV of image ids and one probability column per class, held against our images.

podium.predictions reads what `table` lays out like a member's predictions, at contracts.EXTERNAL_IMAGE_SIZE and in
contracts.EXTERNAL_TRANSFORM. Test rows have the fold contracts.EXTERNAL_TEST_FOLD, because no model of ours made them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium import contracts
from podium.contest.ids import ImageIndex, as_number
from podium.core import tables
from podium.core.errors import InputError, some
from podium.core.placeholders import is_none

SUM_TOLERANCE = 0.01  # a person's CSV may be rounded to a few digits; rows are brought to 1 exactly


def check_path(root: Path, written: str, key: str, image_folders: Iterable[str]) -> None:
    """Refuse a path that is no file, or lies among the images, where each change of it would decode all of them again.

    Raises:
        InputError: names the key.
    """
    if not (root / written).is_file():
        raise InputError(f"params.yaml: {key}: {written} is no file; correct the path")
    for folder in image_folders:
        if (root / written).resolve().is_relative_to((root / folder).resolve()):
            raise InputError(f"params.yaml: {key}: {written} lies among the images in {folder}; put it outside")


def read(
    path: Path, *, image_ids: Iterable[str], classes: Sequence[str], id_column: str, fold_column: str | None = None
) -> pd.DataFrame:
    """Read a CSV of predictions; the placeholder has no rows.

    Args:
        path: of the CSV. Beside the id and the fold it has one column per class, equal as text or as a number.
        image_ids: of the images it may name, in their owner's spelling (contest.ImageIndex).
        classes: of the contest.
        id_column: name of the ids' column.
        fold_column: name of the folds' column, None where there is none.

    Returns:
        columns image_id, fold ("" without a column for it) and p:<class> per class, rows summing to 1, in the
        file's order.

    Raises:
        InputError: the columns are not these; an id is unknown, ambiguous, unsafe, or stands twice; a fold is missing;
            a row's probabilities are not numbers, negative, or do not sum to 1.
    """
    if is_none(path):
        kinds = {"image_id": "str", "fold": "str"} | {tables.PROBABILITY + name: "float64" for name in classes}
        return pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in kinds.items()})
    cells = tables.read_text_csv(path, header=False)
    header, rows = [str(cell) for cell in cells.iloc[0]], cells.iloc[1:]
    columns = _columns(header, classes, [id_column, *([] if fold_column is None else [fold_column])], path)
    written = rows[columns[id_column]]
    found = _image_ids(written, ImageIndex(image_ids), path)
    folds = ["" for _ in found] if fold_column is None else _folds(rows[columns[fold_column]], found, path)
    probs = _probs(rows[[columns[name] for name in classes]], found, path)
    return tables.with_probs(pd.DataFrame({"image_id": found, "fold": folds}), probs, classes)


def only(given: pd.DataFrame, wanted: Collection[str], path: Path, what: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of the wanted images, sorted by image_id, and the ids of the others.

    Raises:
        InputError: a wanted image has no row; `what` says which images are wanted.
    """
    if missing := sorted(set(wanted).difference(given["image_id"])):
        raise InputError(
            f"{path}: no row for {len(missing)} of {len(wanted)} {what}: {some(missing)}; predict them too"
        )
    kept = given["image_id"].isin(list(wanted))
    return given[kept].sort_values("image_id", ignore_index=True), sorted(given.loc[~kept, "image_id"])


def require_same_folds(given: pd.DataFrame, folds: Mapping[str, str], path: Path) -> None:
    """Refuse folds that subset the images otherwise than ours; their names may differ.

    A model that has learned from an image's duplicates or group predicts it too well, and our folds keep those apart.

    Args:
        given: columns image_id and fold.
        folds: image_id -> our fold.
        path: of the file, for the message.

    Raises:
        InputError: names images that lie together in one and apart in the other.
    """
    table = given[["image_id", "fold"]].assign(ours=given["image_id"].map(dict(folds)))
    pairs = table.groupby(["fold", "ours"])["image_id"].agg(["size", "first"]).reset_index()
    usual = pairs.sort_values("size", ascending=False, kind="stable")
    usual = usual.drop_duplicates("fold").drop_duplicates("ours")
    odd = pairs.drop(usual.index)
    if not odd.empty:
        rows = [f"{image} (yours {fold}, ours {ours})" for fold, ours, _, image in odd.itertuples(index=False)]
        raise InputError(
            f"{path}: its folds separate the images otherwise than data/split/folds.csv, {odd['size'].sum()} of"
            f" {len(table)} images, e.g. {some(rows)}: a model could have learned from their duplicates or groups, and"
            " the score would flatter. Predict with the folds of data/split/folds.csv, or give yours to"
            " contest.columns.fold"
        )


def table(train: pd.DataFrame, folds: Mapping[str, str], test: pd.DataFrame) -> pd.DataFrame:
    """Lay predictions out as rows of tables.PREDICTIONS: train images with our fold, test images with none."""
    subsets = [
        train.assign(subset="train", fold=train["image_id"].map(dict(folds))),
        test.assign(subset="test", fold=contracts.EXTERNAL_TEST_FOLD),
    ]
    rows = pd.concat(subsets, ignore_index=True).assign(
        image_size=contracts.EXTERNAL_IMAGE_SIZE, transform=contracts.EXTERNAL_TRANSFORM
    )
    return rows.astype({tables.PROBABILITY + name: "float32" for name in tables.class_names(rows)})


def _columns(header: Sequence[str], classes: Sequence[str], others: Sequence[str], path: Path) -> dict[str, int]:
    """Return {column of `others` or class: its position}."""
    if both := sorted(set(others) & set(classes)):
        raise InputError(f"{path}: {', '.join(both)} is a class and a column of ids or folds; rename it")
    numbers = {as_number(name): name for name in classes}
    numbers.pop(None, None)
    means = [text if text in {*others, *classes} else numbers.get(as_number(text), "") for text in header]
    missing = [name for name in [*others, *classes] if name not in means]
    unknown = [text for text, name in zip(header, means, strict=True) if not name]
    double = sorted({name for name in means if name and means.count(name) > 1})
    if missing or unknown or double:
        raise InputError(
            f"{path}: its columns must be {', '.join(map(repr, others))} and the classes, each once: missing {missing},"
            f" unknown {unknown}, double {double}; it has {list(header)}"
        )
    return {name: means.index(name) for name in means}


def _image_ids(written: pd.Series, images: ImageIndex, path: Path) -> list[str]:
    written = written.rename(index=lambda position: position + 1)  # as a spreadsheet counts rows
    found = {row: images.find(text, f"{path}: row {row}") for row, text in written.items()}
    if unknown := [f"row {row} {written[row]!r}" for row, image_id in found.items() if image_id is None]:
        raise InputError(f"{path}: there is no such image: {some(unknown)}; correct or remove the rows")
    image_ids = pd.Series(found, dtype="str")
    if (double := image_ids.duplicated(keep=False)).any():
        rows = [f"row {row} {image_id}" for row, image_id in image_ids[double].items()]
        raise InputError(f"{path}: images stand there twice: {some(rows)}; keep one row of each")
    return list(image_ids)


def _folds(written: pd.Series, image_ids: Sequence[str], path: Path) -> list[str]:
    folds = [text.strip() for text in written]
    if lacking := [image_id for image_id, fold in zip(image_ids, folds, strict=True) if not fold]:
        raise InputError(f"{path}: images without a fold: {some(lacking)}; name the fold of each")
    return folds


def _probs(cells: pd.DataFrame, image_ids: Sequence[str], path: Path) -> NDArray[np.float64]:
    """Return the cells as probabilities (n_images, n_classes)."""
    numbers = cells.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    sums = numbers.sum(axis=1)
    faults = {
        "not finite numbers": ~np.isfinite(numbers).all(axis=1),
        "negative": (numbers < 0).any(axis=1),
        "not of sum 1": ~(np.abs(sums - 1) <= SUM_TOLERANCE),
    }
    for fault, rows in faults.items():
        if rows.any():
            names = [f"{image_ids[int(i)]} {list(cells.iloc[i])[:5]}" for i in np.flatnonzero(rows)]
            raise InputError(f"{path}: probabilities that are {fault}: {some(names)}; correct them")
    return np.asarray(numbers / sums[:, None], np.float64)
