"""Reading what models predicted: joined on image_id, each expected prediction present exactly once."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from podium import contracts
from podium.core import tables, targets
from podium.core.errors import InputError, some

_BLOCK = 2**22  # cells that are read at once, 16 MB
SUM_TOLERANCE = 1e-3  # probabilities were normalised in float32
Probs = NDArray[np.float32]
Places = NDArray[np.int64]
Wanted = Mapping[str, Sequence[Any]]  # column -> values that its cells may have
_TEXT = [column for column, kind in tables.PREDICTIONS.columns.items() if kind == "text"]


@dataclass(frozen=True)
class _FileRows:
    """The wanted rows of a prediction file, whose probabilities are not read yet.

    Attributes:
        groups: row groups that hold wanted rows.
        kept: (rows of these groups,) which of them are wanted; None if all are.
        index: axis -> where each wanted row lies on it (n_rows,).
    """

    path: Path
    file: pq.ParquetFile
    groups: list[int]
    kept: NDArray[np.bool_] | None
    index: dict[str, Places]


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
    found = _find(paths, {"subset": ["train"], "image_size": image_sizes}, axes, classes)
    wanted_fold = pd.Index(names).get_indexer(list(folds))
    images = {
        image_ids[i]
        for rows in found
        for i in rows.index["image_id"][rows.index["fold"] != wanted_fold[rows.index["image_id"]]]
    }
    if images:
        raise _fault(_where(paths), f"the model of another fold predicted {some(sorted(images))}")
    arranged = _read(found, {key: axes[key] for key in ("image_size", "transform", "image_id")}, classes)
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
    found = _find([path], {"subset": ["test"], "image_size": image_sizes, "fold": [fold]}, axes, classes)
    arranged = _read(found, {key: axes[key] for key in ("image_size", "transform", "image_id")}, classes)
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
    try:
        return targets.probs_of_rows(_read_oof(path, used, classes), classes)
    except (OSError, TypeError, ValueError) as error:  # missing, cut or damaged
        raise _fault(path, f"cannot be read: {error}") from None


def _read_oof(path: Path, used: pd.DataFrame, classes: Sequence[str]) -> Probs:
    file = pq.ParquetFile(path)
    rows = file.read(columns=list(contracts.OOF.columns)).to_pandas()
    places = np.asarray(pd.Index(list(used["image_id"])).get_indexer(rows.get("image_id", [])), np.int64)
    same = set(file.schema_arrow.names) == {*contracts.OOF.columns, *_columns(classes)}
    once = len(np.unique(places)) == len(places) == len(used) and bool((places >= 0).all())
    if not (same and once) or list(rows["label"]) != list(used["label"].iloc[places]):
        raise InputError(f"{path}: its images, labels or classes are not those of folds.csv; run `dvc repro`")
    found = np.empty((len(used), len(classes)), np.float32)
    step = max(_BLOCK // max(len(used), 1), 1)
    for start in range(0, len(classes), step):  # by columns, because the file is a single row group
        columns = _columns(classes[start : start + step])
        cells = file.read(columns=columns)
        found[places, start : start + step] = np.column_stack([cells[name].to_numpy() for name in columns])
    pa.default_memory_pool().release_unused()
    return found


def _find(
    paths: Sequence[Path], wanted: Wanted, axes: Mapping[str, Sequence[Any]], classes: Sequence[str]
) -> list[_FileRows]:
    """Find the wanted rows of each file, and each one's place on every axis."""
    found = []
    for path in paths:
        try:
            found.append(_find_in(pq.ParquetFile(path, read_dictionary=_TEXT), path, wanted, axes, classes))
        except (OSError, TypeError, ValueError) as error:  # damaged, or with columns of other types
            raise _fault(path, f"cannot be read: {error}") from None
    return found


def _find_in(
    file: pq.ParquetFile, path: Path, wanted: Wanted, axes: Mapping[str, Sequence[Any]], classes: Sequence[str]
) -> _FileRows:
    """Find no more than is wanted: infer writes a row group per subset, fold, size and transform."""
    if strange := set(file.schema_arrow.names).symmetric_difference({*tables.PREDICTIONS.columns, *_columns(classes)}):
        raise _fault(path, f"its columns are not those of the {len(classes)} classes: {some(sorted(strange))}")
    groups, mixed = _row_groups(file.metadata, wanted)
    table, kept = file.read_row_groups(groups, columns=list(dict.fromkeys([*axes, *wanted]))), None
    if mixed:
        named = [table[name].to_pandas().isin(list(values)).to_numpy(bool) for name, values in wanted.items()]
        kept = np.logical_and.reduce(named)
        table = table.filter(pa.array(kept))
    return _FileRows(path, file, groups, kept, {key: _places(table[key], values, path) for key, values in axes.items()})


def _read(found: Sequence[_FileRows], axes: Mapping[str, Sequence[Any]], classes: Sequence[str]) -> Probs:
    """Lay the rows of some files out along `axes`, image_id last: (*axes, classes).

    Blocks of rows are read, so that no more than the result is in memory.
    """
    shape = tuple(len(values) for values in axes.values())
    places = [_row_numbers(rows.index, axes) for rows in found]
    where = _where([rows.path for rows in found])
    _require_each_once(np.concatenate(places), axes, where)
    probs, faulty, sets = np.empty((math.prod(shape), len(classes)), np.float32), set(), targets.are_sets(classes)
    for rows, place in zip(found, places, strict=True):
        first = 0
        for block in _blocks(rows, classes):
            here = place[first : first + len(block)]
            probs[here], first = block, first + len(block)
            faulty |= {axes["image_id"][int(i)] for i in here[_faulty(block, sets)] % shape[-1]}
    if faulty:
        wrong = "above 1" if sets else "do not sum to 1"
        raise _fault(where, f"probabilities are not finite, negative or {wrong}: {some(sorted(faulty))}")
    return probs.reshape(*shape, len(classes))


def _blocks(rows: _FileRows, classes: Sequence[str]) -> Iterator[Probs]:
    """Read the probabilities of a file's wanted rows, some rows (rows, classes) at a time."""
    size, first = max(_BLOCK // len(classes), 1), 0
    try:
        for batch in rows.file.iter_batches(size, row_groups=rows.groups, columns=_columns(classes)):
            cells = [batch[name].to_numpy(zero_copy_only=False) for name in _columns(classes)]
            probs = np.column_stack(cells).astype(np.float32, copy=False)
            yield probs if rows.kept is None else probs[rows.kept[first : first + len(probs)]]
            first += len(probs)
    except (OSError, TypeError, ValueError) as error:
        raise _fault(rows.path, f"cannot be read: {error}") from None
    pa.default_memory_pool().release_unused()  # it would keep what reading took at most


def _columns(classes: Sequence[str]) -> list[str]:
    return [tables.PROBABILITY + name for name in classes]


def _where(paths: Sequence[Path]) -> Path:
    """Return the file, or the folder of several, that an error names."""
    return paths[0] if len(paths) == 1 else paths[0].parent


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
    """Return where each cell stands in `values`."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    places = pc.index_in(column.cast(kind), value_set=pa.array(list(values), kind))
    if places.null_count:
        unknown = sorted({str(cell) for cell in column.filter(places.is_null()).to_pylist()})
        raise _fault(path, f"predictions nobody asked for: {some(unknown)}")
    return np.asarray(places.to_numpy(), np.int64)


def _faulty(probs: Probs, sets: bool) -> NDArray[np.bool_]:
    """Say which rows are no probabilities, of a class or of each label (NaN fails the comparison)."""
    if sets:
        return np.asarray(~((probs >= 0) & (probs <= 1)).all(axis=1), np.bool_)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = probs.sum(axis=1)
    return np.asarray(~((probs >= 0).all(axis=1) & (np.abs(sums - 1) <= SUM_TOLERANCE)), np.bool_)


def _row_numbers(index: Mapping[str, Places], axes: Mapping[str, Sequence[Any]]) -> Places:
    """Number rows by their places on `axes`, the last one running fastest."""
    numbers = np.zeros(len(index["image_id"]), np.int64)
    for key, values in axes.items():
        numbers = numbers * len(values) + index[key]
    return numbers


def _require_each_once(numbers: Places, axes: Mapping[str, Sequence[Any]], where: Path) -> None:
    shape = tuple(len(values) for values in axes.values())
    count = np.bincount(numbers, minlength=math.prod(shape)).reshape(shape)
    for wrong, what in ((count == 0, "no prediction for"), (count > 1, "several predictions for")):
        if wrong.any():
            images = wrong.reshape(-1, shape[-1]).any(axis=0)
            raise _fault(where, f"{what} {some([axes['image_id'][int(i)] for i in np.flatnonzero(images)])}")


def _fault(where: Path, what: str) -> InputError:
    return InputError(f"{where}: {what}; run `dvc repro` to rebuild it")
