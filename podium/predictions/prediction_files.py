"""Reading what models predicted: joined on image_id, each expected prediction present exactly once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from podium import contracts
from podium.core import tables, targets
from podium.core.errors import InputError, some

SUM_TOLERANCE = 1e-3  # probabilities were normalised in float32
Probs = NDArray[np.float32]
Places = NDArray[np.int64]
Wanted = Mapping[str, Sequence[Any]]  # column -> values that its cells may have
_TEXT = [column for column, kind in tables.PREDICTIONS.columns.items() if kind == "text"]


@dataclass(frozen=True)
class _Rows:
    """Rows of prediction files: where each lies on every axis (n_rows,), and its probabilities (n_rows, classes)."""

    where: Path
    index: dict[str, Places]
    probs: Probs


def read_train(
    paths: Sequence[Path],
    *,
    image_ids: Sequence[str],
    folds: Sequence[str],
    classes: Sequence[str],
    image_sizes: Sequence[int],
    transforms: Sequence[str],
) -> Probs:
    """Read out-of-fold predictions.

    Args:
        paths: parquet files of tables.PREDICTIONS, read as one.
        image_ids: every image that must have predictions.
        folds: (n_images,) each image's fold, whose model must have made them.
        classes: names in the order wanted.
        image_sizes: pixels, those wanted of the files' sizes.
        transforms: all transforms that the files hold.

    Returns:
        probabilities (sizes, transforms, images, classes) in the order of the arguments; of sets of labels the rows of
        podium.core.targets.as_rows, (sizes, transforms, images x labels, 2).

    Raises:
        InputError: a prediction is missing, double, or of another fold, size, transform, image or class; or its
            probabilities are not finite, negative or do not sum to 1.
    """
    names = sorted(set(folds))
    axes = {"fold": names, "image_size": image_sizes, "transform": transforms, "image_id": image_ids}
    rows = _read(paths, {"subset": ["train"], "image_size": image_sizes}, axes, classes)
    expected = pd.Index(names).get_indexer(list(folds))[rows.index["image_id"]]
    if (wrong := rows.index["fold"] != expected).any():
        images = sorted({image_ids[i] for i in rows.index["image_id"][wrong]})
        raise _fault(rows.where, f"the model of another fold predicted {some(images)}")
    arranged = _arrange(rows, {key: axes[key] for key in ("image_size", "transform", "image_id")})
    return targets.probs_of_rows(arranged, classes)


def read_test(
    path: Path,
    *,
    image_ids: Sequence[str],
    fold: str,
    classes: Sequence[str],
    image_sizes: Sequence[int],
    transforms: Sequence[str],
) -> Probs:
    """Read what one fold's model predicted of the test images.

    Args:
        path: a parquet file of tables.PREDICTIONS.
        image_ids: every image that must have predictions.
        fold: whose model's are wanted.
        classes: names in the order wanted.
        image_sizes: pixels, those wanted of the file's sizes.
        transforms: all transforms that the file holds.

    Returns:
        probabilities (sizes, transforms, images, classes) in the order of the arguments; of sets of labels the rows of
        podium.core.targets.as_rows, (sizes, transforms, images x labels, 2).

    Raises:
        InputError: as `read_train`.
    """
    axes = {"fold": [fold], "image_size": image_sizes, "transform": transforms, "image_id": image_ids}
    rows = _read([path], {"subset": ["test"], "image_size": image_sizes, "fold": [fold]}, axes, classes)
    arranged = _arrange(rows, {key: axes[key] for key in ("image_size", "transform", "image_id")})
    return targets.probs_of_rows(arranged, classes)


def read_oof(path: Path, used: pd.DataFrame, classes: Sequence[str]) -> Probs:
    """Read a table of OOF as probabilities (images, classes), of sets of labels (images x labels, 2).

    Args:
        path: of the table.
        used: image_id and label of the images that are scored, in the order wanted.
        classes: in the order wanted.

    Raises:
        InputError: its images, labels or classes are others.
    """
    table = tables.read(path, contracts.OOF).set_index("image_id")
    same = len(table) == len(used) and set(tables.class_names(table)) == set(classes)
    labels = table["label"].reindex(list(used["image_id"]))
    if not same or list(labels) != list(used["label"]):
        raise InputError(f"{path}: its images, labels or classes are not those of folds.csv; run `dvc repro`")
    columns = [tables.PROBABILITY + name for name in classes]
    return targets.probs_of_rows(np.asarray(table.loc[list(used["image_id"]), columns], np.float32), classes)


def _read(paths: Sequence[Path], wanted: Wanted, axes: Mapping[str, Sequence[Any]], classes: Sequence[str]) -> _Rows:
    """Read the wanted rows, and find each one's place on every axis."""
    where = paths[0] if len(paths) == 1 else paths[0].parent
    read = [_read_file(path, wanted, axes, classes) for path in paths]
    rows = _Rows(
        where,
        {key: np.concatenate([index[key] for index, _ in read]) for key in axes},
        np.concatenate([probs for _, probs in read]),
    )
    sets = targets.are_sets(classes)
    if (faulty := _faulty(rows.probs, sets)).any():
        images = sorted({axes["image_id"][i] for i in rows.index["image_id"][faulty]})
        wrong = "above 1" if sets else "do not sum to 1"
        raise _fault(where, f"probabilities are not finite, negative or {wrong}: {some(images)}")
    return rows


def _read_file(
    path: Path, wanted: Wanted, axes: Mapping[str, Sequence[Any]], classes: Sequence[str]
) -> tuple[dict[str, Places], Probs]:
    """Read no more than is wanted: infer writes a row group per subset, fold, size and transform."""
    try:
        return _read_open(pq.ParquetFile(path, read_dictionary=_TEXT), path, wanted, axes, classes)
    except (OSError, TypeError, ValueError) as error:  # damaged, or with columns of other types
        raise _fault(path, f"cannot be read: {error}") from None


def _read_open(
    file: pq.ParquetFile, path: Path, wanted: Wanted, axes: Mapping[str, Sequence[Any]], classes: Sequence[str]
) -> tuple[dict[str, Places], Probs]:
    columns = [tables.PROBABILITY + name for name in classes]
    found = set(file.schema_arrow.names)
    if strange := found.symmetric_difference({*tables.PREDICTIONS.columns, *columns}):
        raise _fault(path, f"its columns are not those of the {len(classes)} classes: {some(sorted(strange))}")
    groups, mixed = _row_groups(file.metadata, wanted)
    table = file.read_row_groups(groups, columns=[*dict.fromkeys([*axes, *wanted]), *columns])
    if mixed:
        table = table.filter(pq.filters_to_expression([(name, "in", list(values)) for name, values in wanted.items()]))
    probs = [table[column].to_numpy().astype(np.float32, copy=False) for column in columns]
    return {key: _places(table[key], values, path) for key, values in axes.items()}, np.column_stack(probs)


def _row_groups(metadata: pq.FileMetaData, wanted: Wanted) -> tuple[list[int], bool]:
    """Return which row groups may have wanted rows, by their statistics, and whether they may have others as well.

    pyarrow.parquet.read_table(filters=...) finds the same rows, at 4 to 20 times the cost where row groups are many.
    """
    columns = {metadata.schema.column(index).name: index for index in range(metadata.num_columns)}
    groups, mixed = [], False
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        found = [_found(group.column(columns[name]).statistics, values) for name, values in wanted.items()]
        if None not in found:
            groups.append(index)
            mixed |= not all(found)
    return groups, mixed


def _found(statistics: pq.Statistics | None, values: Sequence[Any]) -> bool | None:
    """Say whether a column of a row group has wanted values alone (True), perhaps some (False), or none (None)."""
    if statistics is None or not statistics.has_min_max or statistics.null_count:
        return False
    low, high = statistics.min, statistics.max
    if low == high:
        return True if low in values else None
    return False if any(low <= value <= high for value in values) else None


def _places(column: pa.ChunkedArray, values: Sequence[Any], path: Path) -> Places:
    """Return where each cell stands in `values`; strings are compared once per distinct one."""
    cells = pd.Categorical(column.to_pandas())
    places = pd.Index(list(values), dtype=cells.categories.dtype).get_indexer(cells.categories)
    used = np.bincount(cells.codes, minlength=len(places)) > 0
    if (unknown := used & (places < 0)).any():
        raise _fault(path, f"predictions nobody asked for: {some([str(c) for c in cells.categories[unknown]])}")
    return np.asarray(places[cells.codes], np.int64)


def _faulty(probs: Probs, sets: bool) -> NDArray[np.bool_]:
    """Say which rows are no probabilities, of a class or of each label (NaN fails the comparison)."""
    if sets:
        return np.asarray(~((probs >= 0) & (probs <= 1)).all(axis=1), np.bool_)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = probs.sum(axis=1)
    return np.asarray(~((probs >= 0).all(axis=1) & (np.abs(sums - 1) <= SUM_TOLERANCE)), np.bool_)


def _arrange(rows: _Rows, axes: Mapping[str, Sequence[Any]]) -> Probs:
    """Lay rows out along `axes`, image_id last: (*axes, classes); each place must be taken exactly once."""
    shape = tuple(len(values) for values in axes.values())
    position = np.zeros(len(rows.probs), np.int64)
    for key, values in axes.items():
        position = position * len(values) + rows.index[key]
    count = np.bincount(position, minlength=math.prod(shape)).reshape(shape)
    for wrong, what in ((count == 0, "no prediction for"), (count > 1, "several predictions for")):
        if wrong.any():
            images = wrong.reshape(-1, shape[-1]).any(axis=0)
            raise _fault(rows.where, f"{what} {some([axes['image_id'][int(i)] for i in np.flatnonzero(images)])}")
    return rows.probs[np.argsort(position)].reshape(*shape, rows.probs.shape[1])


def _fault(where: Path, what: str) -> InputError:
    return InputError(f"{where}: {what}; run `dvc repro` to rebuild it")
