"""Contracts of tables; read CSV, parquet and JSON with checks, and write them atomically.

CSV cells are text unless a contract says otherwise, so that ids such as `0012` and labels such as `NA` survive.
Every writer creates the parent folders (DVC does not) and replaces the file in one step.
"""

import csv
import glob
import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from podium.core import csv_faults, targets
from podium.core.errors import InputError, some

PROBABILITY = "p:"  # prefix of a class's column in tables of predictions


@dataclass(frozen=True)
class Contract:
    """The columns of a table that passes between two stages.

    Attributes:
        columns: column -> "text", "int" or "float" (an empty CSV cell is a missing float).
        key: columns that identify a row together; no two rows may agree in all of them.
    """

    columns: Mapping[str, str]
    key: tuple[str, ...] = ("image_id",)


FOLDS = Contract(
    {
        "image_id": "text",  # every row of labels.csv
        "label": "text",
        "use": "text",  # "train": trained on and scored; "skip": neither of them
        "reason": "text",
        "group": "text",  # `split` never splits a group; the user's own folds may, then `split` warns
        "fold": "text",  # the fold that holds it out; "" if the image is unreadable
    }
)
EXTRA = Contract(  # images that trainings add to those of their fold
    {
        "image_id": "text",  # of a train image; its use is "skip" and its fold "" in FOLDS
        "label": "text",
        "without": "text",  # folds whose trainings leave it out, separated by spaces
        "share": "float",  # of the images of its file that an epoch draws
    }
)
PREDICTIONS = Contract(
    {
        "image_id": "text",
        "subset": "text",  # "train" (out of fold) or "test"
        "fold": "text",  # the fold that the model did not train on
        "image_size": "int",
        "transform": "text",  # of test-time augmentation, e.g. "hflip"
    },
    key=("image_id", "subset", "fold", "image_size", "transform"),
)
_FORMULA = re.compile(r"\s*[=+@-]\s*\S")
_KINDS = {"text": "str", "int": "int64", "float": "float64"}


def read_text_csv(path: Path, header: bool = True, separator: str = ",") -> pd.DataFrame:
    """Read a CSV with every cell as text, exactly as written; without a header the columns are 0, 1, ...

    Args:
        header: False for a user's file, which may be no CSV at all.
        separator: between cells.

    Raises:
        InputError: the file is missing, empty, not UTF-8, ragged or cannot be unpacked; or, without a header, its cells
            are separated by something else than `separator`.
    """
    try:
        if not header and (fault := csv_faults.of_beginning(path)):
            raise InputError(f"{path}: {fault}")
        table = pd.read_csv(
            path,
            dtype="str",
            keep_default_na=False,
            header=0 if header else None,
            encoding="utf-8-sig",
            sep=separator,
        )
    except FileNotFoundError:
        raise InputError(f"{path}: not found") from None
    except InputError:
        raise
    except OSError as error:
        if error.filename is not None:  # not of the modules that unpack
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        raise InputError(f"{path}: {csv_faults.of_error(error, path, separator)}") from None
    except Exception as error:  # pandas and the modules that unpack raise a dozen classes of errors
        raise InputError(f"{path}: {csv_faults.of_error(error, path, separator)}") from None
    if not header and table.shape[1] == 1 and (fault := csv_faults.of_separators(str(table.iloc[0, 0]), path)):
        raise InputError(f"{path}: {fault}")
    return table


def read(path: Path, contract: Contract) -> pd.DataFrame:
    """Read a CSV or parquet file that another stage wrote, with the types of its contract.

    Raises:
        InputError: a column is missing or unknown, or two rows have the same key.
    """
    table = _read_parquet(path) if path.suffix == ".parquet" else read_text_csv(path)
    _check_columns(table, contract, path)
    for column, kind in contract.columns.items():
        try:
            if kind == "float":
                table[column] = table[column].replace("", "nan").astype("float64")
            else:
                table[column] = table[column].astype(_KINDS[kind])
        except ValueError as error:
            raise InputError(f"{path}: column {column}: {error}; run `dvc repro -f` on its stage") from None
    return table


def write(table: pd.DataFrame, path: Path, contract: Contract) -> None:
    """Check a table against its contract and write it, as CSV or parquet by the path's ending."""
    _check_columns(table, contract, path)
    extra = [column for column in table.columns if column not in contract.columns]
    table = table[[*contract.columns, *extra]].astype({c: _KINDS[k] for c, k in contract.columns.items()})
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False, compression="zstd")
        else:
            quoting = csv.QUOTE_ALL if _has_carriage_returns(table) else csv.QUOTE_MINIMAL
            table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8", quoting=quoting)


def with_probs(rows: pd.DataFrame, probs: NDArray[Any], classes: Sequence[str]) -> pd.DataFrame:
    """Append one column per class to rows, from probs (rows, classes).

    All columns at once, because pandas warns if they are added one after another.
    """
    columns = pd.DataFrame(probs, columns=[PROBABILITY + name for name in classes])
    return pd.concat([rows.reset_index(drop=True), columns], axis=1)


def empty_predictions(classes: Sequence[str]) -> pd.DataFrame:
    """Return a table of PREDICTIONS without rows, for a phase that is not trained."""
    columns: dict[str, Any] = dict.fromkeys(PREDICTIONS.columns, "str")
    columns["image_size"] = "int64"
    columns |= {PROBABILITY + name: "float32" for name in classes}
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in columns.items()})


def write_empty_predictions(root: Path, path: Path) -> None:
    """Write a table of PREDICTIONS without rows, for the classes of data/split/folds.csv."""
    folds = read(root / "data/split/folds.csv", FOLDS)
    classes = targets.class_names(folds.loc[folds["use"] == "train", "label"])
    write(empty_predictions(classes), path, PREDICTIONS)


def write_json(value: Any, path: Path) -> None:
    """Write JSON with sorted keys; refuse NaN and infinities, which JSON does not have."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(text + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Write UTF-8 text; line ends stay as they are."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def read_json(path: Path) -> Any:
    """Read a JSON file that another stage wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; if the block succeeds, move it over `path` in one step.

    Temporary files of the same path whose process was killed are removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        if not _runs(leftover.suffixes[-2].removeprefix(".")):
            leftover.unlink(missing_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _runs(pid: str) -> bool:
    """Return whether a process runs; True where that cannot be known."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OverflowError, OSError):
        pass
    return True


def file_hash(path: Path) -> str:
    """Return a file's SHA-256, "" where there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def formulas(texts: Iterable[str]) -> list[str]:
    """Return the texts that a spreadsheet would run as a formula: they start with =, +, - or @ and are no number.

    Podium's tables keep ids and labels as they are, so the stages warn of such texts instead of escaping them.
    """
    return [text for text in texts if _FORMULA.match(text) and not _is_number(text)]


def class_names(predictions: pd.DataFrame) -> list[str]:
    """Return the classes of a table of predictions, in the order of its columns."""
    return [c.removeprefix(PROBABILITY) for c in predictions.columns if c.startswith(PROBABILITY)]


def rounded(value: float, digits: int = 6) -> float | None:
    """Round for a report; None (null in JSON) for NaN and infinities."""
    return round(float(value), digits) if math.isfinite(value) else None


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # missing, cut or damaged
        raise InputError(f"{path}: cannot be read ({error}); run `dvc repro` to rebuild it") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _has_carriage_returns(table: pd.DataFrame) -> bool:
    """Return whether a text holds a carriage return: readers end a row there, and csv quotes it from Python 3.13 on."""
    texts = table.select_dtypes("str")
    return any(texts[column].str.contains("\r", regex=False).any() for column in texts)


def _check_columns(table: pd.DataFrame, contract: Contract, path: Path) -> None:
    missing = [column for column in contract.columns if column not in table.columns]
    unknown = [c for c in table.columns if c not in contract.columns and not c.startswith(PROBABILITY)]
    if missing or unknown:
        raise InputError(f"{path}: columns missing: {missing}, unknown: {unknown}; run `dvc repro` to rebuild it")
    double = table.duplicated(list(contract.key))
    if double.any():
        rows = table.loc[double, list(contract.key)].astype("str").agg("/".join, axis=1)
        raise InputError(f"{path}: rows appear twice: {some(list(rows))}")
