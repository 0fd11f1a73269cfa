"""Predictions made elsewhere: CSVs with image ids and one probability column per class, checked against our images.

`table` gives them the form of a member's predictions, so that podium.predictions reads both alike: their image size is
contracts.EXTERNAL_IMAGE_SIZE, their TTA transform contracts.EXTERNAL_TRANSFORM. Test rows have the fold
contracts.EXTERNAL_TEST_FOLD, because none of our models made them.
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

SUM_TOLERANCE = 0.01  # a CSV may be rounded to a few digits; `read` scales each row to the sum 1


def check_path(root: Path, written: str, key: str, image_folders: Iterable[str]) -> None:
    """Refuse a missing file, and a file in an image folder: a change there reruns `prepare`.

    Raises:
        InputError: names the key.
    """
    if not (root / written).is_file():
        raise InputError(f"params.yaml: {key}: {written} is no file; correct the path")
    for folder in image_folders:
        if (root / written).resolve().is_relative_to((root / folder).resolve()):
            raise InputError(f"params.yaml: {key}: {written} lies among the images in {folder}; put it outside")


def read(
    path: Path,
    *,
    images: ImageIndex,
    classes: Sequence[str],
    id_column: str,
    fold_column: str | None = None,
    lost: Collection[str] = (),
) -> pd.DataFrame:
    """Read a CSV of predictions; for the placeholder return no rows.

    Args:
        path: of the CSV. Besides the id and the fold it has one column per class; names match as text or as numbers.
        images: that the CSV may name.
        classes: of the contest.
        id_column: name of the ids' column.
        fold_column: name of the folds' column; None if there is none.
        lost: classes that no image is left of; a column of one is ignored, and the others are scaled to the sum 1.

    Returns:
        columns image_id, fold ("" if there is no such column) and p:<class> per class. Rows are in the file's
        order, and their probabilities sum to 1.

    Raises:
        InputError: the columns differ from these; an id is unknown, ambiguous, unsafe or repeated; a fold is missing;
            a row's probabilities are not numbers, are negative or do not sum to 1.
    """
    if is_none(path):
        kinds = {"image_id": "str", "fold": "str"} | {tables.PROBABILITY + name: "float64" for name in classes}
        return pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in kinds.items()})
    cells = tables.read_text_csv(path, header=False)
    header, rows = [str(cell) for cell in cells.iloc[0]], cells.iloc[1:]
    given = [*classes, *(name for name in header if name in set(lost).difference(classes))]
    columns = _columns(header, given, [id_column, *([] if fold_column is None else [fold_column])], path)
    written = rows[columns[id_column]]
    ids = _image_ids(written, images, path)
    folds = ["" for _ in ids] if fold_column is None else _folds(rows[columns[fold_column]], ids, path)
    probs = _of_first(_probs(rows[[columns[name] for name in given]], ids, path), len(classes))
    return tables.with_probs(pd.DataFrame({"image_id": ids, "fold": folds}), probs, classes)


def only(given: pd.DataFrame, wanted: Collection[str], path: Path, what: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of the wanted images, sorted by image_id, and the ids of the others.

    Raises:
        InputError: a wanted image has no row; `what` describes the wanted images in the message.
    """
    if missing := sorted(set(wanted).difference(given["image_id"])):
        raise InputError(
            f"{path}: no row for {len(missing)} of {len(wanted)} {what}: {some(missing)}; predict them too"
        )
    is_wanted = given["image_id"].isin(list(wanted))
    return given[is_wanted].sort_values("image_id", ignore_index=True), sorted(given.loc[~is_wanted, "image_id"])


def require_same_folds(given: pd.DataFrame, folds: Mapping[str, str], path: Path) -> None:
    """Refuse folds that group the images differently from ours; their names may differ.

    Our folds keep duplicates and groups in one fold. A model that was trained on an image's duplicates or group would
    predict that image too well (leakage).

    Args:
        given: columns image_id and fold.
        folds: image_id -> our fold.
        path: of the file, for the message.

    Raises:
        InputError: names images that share a fold in one and not in the other.
    """
    both = given[["image_id", "fold"]].assign(ours=given["image_id"].map(dict(folds)))
    pairs = both.groupby(["fold", "ours"])["image_id"].agg(["size", "first"]).reset_index()
    matched = pairs.sort_values("size", ascending=False, kind="stable")
    matched = matched.drop_duplicates("fold").drop_duplicates("ours")
    odd = pairs.drop(matched.index)
    if not odd.empty:
        rows = [f"{image} (yours {fold}, ours {ours})" for fold, ours, _, image in odd.itertuples(index=False)]
        raise InputError(
            f"{path}: its folds separate the images differently from data/split/folds.csv, {odd['size'].sum()} of"
            f" {len(both)} images, e.g. {some(rows)}: a model may have been trained on their duplicates or groups, and"
            " the score would be optimistic. Predict with the folds of data/split/folds.csv, or add a column with your"
            " folds to the label CSV and name it in contest.columns.fold"
        )


def table(train: pd.DataFrame, folds: Mapping[str, str], test: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions as rows of tables.PREDICTIONS; train images have our fold, test images have none."""
    subsets = [
        train.assign(subset="train", fold=train["image_id"].map(dict(folds))),
        test.assign(subset="test", fold=contracts.EXTERNAL_TEST_FOLD),
    ]
    rows = pd.concat(subsets, ignore_index=True).assign(
        image_size=contracts.EXTERNAL_IMAGE_SIZE, transform=contracts.EXTERNAL_TRANSFORM
    )
    return rows.astype({tables.PROBABILITY + name: "float32" for name in tables.class_names(rows)})


def _columns(header: Sequence[str], classes: Sequence[str], others: Sequence[str], path: Path) -> dict[str, int]:
    """Return the position of each class and of each column of `others`."""
    if both := sorted(set(others) & set(classes)):
        raise InputError(f"{path}: {', '.join(both)} is a class and a column of ids or folds; rename the column")
    numbers = {as_number(name): name for name in classes}
    numbers.pop(None, None)
    names = [text if text in {*others, *classes} else numbers.get(as_number(text), "") for text in header]
    missing = [name for name in [*others, *classes] if name not in names]
    unknown = [text for text, name in zip(header, names, strict=True) if not name]
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if missing or unknown or repeated:
        raise InputError(
            f"{path}: its columns must be {', '.join(map(repr, others))} and the classes, each once: missing {missing},"
            f" unknown {unknown}, repeated {repeated}; it has {list(header)}."
            " Where you remove a column, divide each row's other probabilities by their sum"
        )
    return {name: names.index(name) for name in names}


def _image_ids(written: pd.Series, images: ImageIndex, path: Path) -> list[str]:
    written = written.rename(index=lambda position: position + 1)  # rows are counted as in a spreadsheet
    by_row = {row: images.find(text, f"{path}: row {row}") for row, text in written.items()}
    if unknown := [f"row {row} {written[row]!r}" for row, image_id in by_row.items() if image_id is None]:
        raise InputError(f"{path}: no such image: {some(unknown)}; correct or remove the rows")
    image_ids = pd.Series(by_row, dtype="str")
    if (repeated := image_ids.duplicated(keep=False)).any():
        rows = [f"row {row} {image_id}" for row, image_id in image_ids[repeated].items()]
        raise InputError(f"{path}: several rows for one image: {some(rows)}; keep one of them")
    return list(image_ids)


def _folds(written: pd.Series, image_ids: Sequence[str], path: Path) -> list[str]:
    folds = [text.strip() for text in written]
    if lacking := [image_id for image_id, fold in zip(image_ids, folds, strict=True) if not fold]:
        raise InputError(f"{path}: images without a fold: {some(lacking)}; fill in the fold of each")
    return folds


def _of_first(probs: NDArray[np.float64], n_classes: int) -> NDArray[np.float64]:
    """Return the probabilities of the first classes, scaled to the sum 1; equal ones where all of them are 0."""
    if probs.shape[1] == n_classes:
        return probs
    first = probs[:, :n_classes]
    sums = first.sum(axis=1, keepdims=True)
    return np.where(sums > 0, first / np.where(sums > 0, sums, 1), 1 / n_classes)


def _probs(cells: pd.DataFrame, image_ids: Sequence[str], path: Path) -> NDArray[np.float64]:
    """Return the cells as probabilities (n_images, n_classes) that sum to 1."""
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
