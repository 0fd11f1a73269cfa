"""Column contracts; CSV, parquet and JSON read with checks and written atomically.

CSV cells are text until a contract says otherwise, so that ids such as `0012` and labels such as `NA`
survive. Every writer creates the parent folders (DVC does not) and replaces the file in one step.
"""

import csv
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from stages.lib.errors import InputError, some

PROBABILITY = "p:"  # prefix of a class's column in a table of predictions


@dataclass(frozen=True)
class Contract:
    """What a table between two stages holds.

    Attributes:
        columns: column -> "text", "int" or "float" ("" in a CSV is a missing float).
        key: the columns that together name a row; no two rows may share them.
    """

    columns: Mapping[str, str]
    key: tuple[str, ...] = ("image_id",)


FACTS = Contract(
    {
        "image_id": "text",  # path inside the image folder, with / and with its ending
        "width": "int",  # pixels, upright (after EXIF rotation); 0 where unreadable
        "height": "int",
        "mode": "text",  # PIL's name of the original mode: RGB, L, P, CMYK, RGBA, I;16, ...
        "format": "text",  # decoded format by content: JPEG, PNG, GIF, ...
        "bytes": "int",  # size of the file
        "sha256": "text",  # of the file
        "problem": "text",  # "" or why the image cannot be used
        "note": "text",  # "" or what was done to it, e.g. "rotated by EXIF 6; alpha laid on white"
    }
)
LABELS = Contract(
    {
        "image_id": "text",  # every row of the train facts, unreadable ones too
        "label": "text",  # "" where use is "skip" and no label is known
        "use": "text",  # "train" or "skip"
        "reason": "text",  # "" or why it is skipped, or the override's reason
        "group": "text",  # the person's group, "" where there is none
        "fold": "text",  # the person's own fold, "" where there is none
    }
)
DECISIONS = Contract(  # apart from the labels: confirming a label must leave those as they are, and retrain nothing
    {
        "image_id": "text",  # every image with an override
        "given": "text",  # the contest's label; "" where it gives none
        "action": "text",  # of the override: a class or "drop"
        "effect": "text",  # "relabelled", "dropped", "confirmed" (the same label) or "without effect" (unreadable)
    }
)
FOLDS = Contract(
    {
        "image_id": "text",  # every row of labels.csv
        "label": "text",
        "use": "text",  # "train": trained on and scored; "skip": neither
        "reason": "text",
        "group": "text",  # never crosses drawn folds; a person's own may part it, which `split` warns of
        "fold": "text",  # whose model predicts it out of fold; "" where the image is unreadable
    }
)
CONFLICTS = Contract(
    {
        "image_id": "text",  # every used image of a cluster of duplicates whose labels differ
        "cluster": "text",
        "label": "text",  # as given; folds.csv has the one that counts
        "done": "text",  # "kept", "kept by its override", "dropped" or "relabelled <class>"
    }
)
BALANCE = Contract(
    {"fold": "text", "label": "text", "images": "int"},  # every fold and class; images that are used
    key=("fold", "label"),
)
PREDICTIONS = Contract(
    {
        "image_id": "text",
        "part": "text",  # "train" (out of fold) or "test"
        "fold": "text",  # whose model made the row
        "image_size": "int",
        "view": "text",  # "identity" or "hflip"
    },
    key=("image_id", "part", "fold", "image_size", "view"),
)
CLUSTERS = Contract(
    {
        "image_id": "text",  # train images that have a near duplicate among the train images
        "cluster": "text",  # the smallest image_id of its cluster
    }
)
FINDINGS = Contract(
    {
        "image_id": "text",
        "part": "text",  # "train" or "test"
        "check": "text",  # e.g. "unusable", "blurry", "same_file"
        "value": "text",  # a number where there is a threshold, else words, or the image it equals as part/image_id
        "threshold": "text",  # what the value was held against, for odd_size a range; "" where the finding is a fact
    },
    key=("image_id", "part", "check"),
)
MAX_TWINS = 100  # rows of LEAKS a test image: thousands of equal images in both parts would make millions
LEAKS = Contract(
    {
        "test_image_id": "text",
        "train_image_id": "text",
        "kind": "text",  # "exact": the same decoded pixels; "near", "cropped", "mirrored", "rotated" (by quarters)
        "similarity": "float",  # correlation of thumbnails, brought to one view; 1 for exact
    },
    key=("test_image_id", "train_image_id"),
)
LEAKED = Contract(
    {
        "test_image_id": "text",
        "train_image_id": "text",
        "kind": "text",  # as in LEAKS
        "label": "text",  # of the train image in folds.csv; "" where it has none
        "use": "text",  # of the train image in folds.csv
    },
    key=("test_image_id", "train_image_id"),
)
IMPORTANCES = Contract(
    {
        "question": "text",  # e.g. "label_from_metadata"
        "feature": "text",
        "auc_lost": "float",  # when the feature is permuted among held-out images
        "standard_error": "float",
    },
    key=("question", "feature"),
)
OOF = Contract(
    {
        "image_id": "text",  # every image that is scored (use "train"); a column p:<class> per class
        "label": "text",
        "fold": "text",  # all about its blend was chosen on images of other parts (scored.in_parts)
    }
)
TEST = Contract({"image_id": "text"})  # every readable test image; a column p:<class> per class
MEMBERS = Contract(
    {
        "member": "text",
        "weight": "float",  # in the blend; they sum to 1; missing where a member has none of its own (stacking)
        "image_sizes": "text",  # pixels, e.g. "64 80": the sizes that are averaged; sizes.csv says why
        "views": "text",  # as in SIZES
        "phase": "text",
        "train_size_score": "float",  # out of fold, at the training size (the first size where it is not inferred)
        "score": "float",  # out of fold, sizes chosen on the other folds
        "log_loss": "float",  # of the same predictions
        "pretrain_score": "float",  # held out, at the training size in one view; missing with 0 epochs
        "finetune_score": "float",
    },
    key=("member",),
)
SIZES = Contract(  # the ways each member might look at images, against the size it was trained for
    {
        "member": "text",
        "image_sizes": "text",  # pixels, e.g. "64 80": averaged
        "views": "text",  # e.g. "hflip identity": averaged
        "phase": "text",  # whose weights: finetune or fixres; "elsewhere" for predictions from outside
        "temperature": "float",  # what its log probabilities are divided by
        "log_loss": "float",  # out of fold, at this temperature
        "gain": "float",  # over the usual size: in log loss, or in the metric where log loss does not stand for it
        "low": "float",  # the gain's 95% interval
        "high": "float",
        "p": "float",  # one-sided, that it gains nothing, adjusted for the number of candidates
        "verdict": "text",  # usual, taken, supported (another gains more), not supported, worse
        "taken_in_parts": "int",  # of the parts of the nested estimate, how many took it
    },
    key=("member", "image_sizes", "views", "phase"),
)
METHODS = Contract(  # ways to blend, against the equal mean, each fitted without the images it is judged on
    {
        "method": "text",
        "score": "float",  # in the contest's metric
        "gain": "float",  # as in SIZES
        "low": "float",
        "high": "float",
        "p": "float",
        "verdict": "text",
        "taken_in_parts": "int",
    },
    key=("method",),
)
CURVES = Contract(  # and a column of floats per logged series, e.g. train_loss
    {"member": "text", "fold": "text", "phase": "text", "epoch": "int"},  # epoch from 0
    key=("member", "fold", "phase", "epoch"),
)
SUSPECTS = Contract(  # most suspect first
    {
        "image_id": "text",
        "given": "text",  # its label
        "suggested": "text",  # the likeliest class of all members' mean, out of fold
        "flagged": "text",  # "yes" where confident learning counts it as an error, "no" where the members disagree only
        "label_quality": "float",  # in [0, 1]: the lower, the more suspect
        "p_given": "float",  # of the members' mean
        "p_suggested": "float",
        "members_agreeing": "int",  # whose likeliest class is the suggested one
        "members_asked": "int",  # that say something of the image
        "members": "text",  # each member's likeliest class and its probability
        "use": "text",  # as in tables.FOLDS: "skip" is neither trained on nor scored
        "other_duplicates": "text",  # near duplicates that bear another label, with it: the first ones
    }
)
LABEL_PAIRS = Contract(  # most flagged first
    {
        "given": "text",
        "suggested": "text",
        "suspects": "int",
        "flagged": "int",  # of the suspects
        "images": "int",  # reviewed ones that bear the given label
    },
    key=("given", "suggested"),
)
OVERRIDES = Contract({"image_id": "text", "action": "text", "reason": "text"})  # as a person writes them
PROBLEMS = Contract({"image_id": "text", "problem": "text"}, key=("image_id", "problem"))

_RAGGED = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")  # as pandas says it
_KINDS = {"text": "str", "int": "int64", "float": "float64"}


def read_text_csv(path: Path, header: bool = True) -> pd.DataFrame:
    """Read a CSV with every cell as text, exactly as written; without a header columns are 0, 1, ...

    Raises:
        InputError: the file is missing, empty, not UTF-8 or ragged.
    """
    try:
        return pd.read_csv(path, dtype="str", keep_default_na=False, header=0 if header else None, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: not found") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        if ragged := _RAGGED.search(str(error)):
            wanted, line, found = ragged.groups()
            raise InputError(
                f"{path}: line {line} has {found} cells, the lines before it {wanted}; put quotes around a cell that"
                " holds a comma"
            ) from None
        raise InputError(f"{path}: cannot be read as a UTF-8 CSV: {error}") from None


def read(path: Path, contract: Contract) -> pd.DataFrame:
    """Read a CSV or parquet that another stage wrote, in its contract's types.

    Raises:
        InputError: a column is missing or unknown, or two rows share a key.
    """
    table = pd.read_parquet(path) if path.suffix == ".parquet" else read_text_csv(path)
    _check_columns(table, contract, path)
    for column, kind in contract.columns.items():
        if kind == "float":
            table[column] = table[column].replace("", "nan").astype("float64")
        else:
            table[column] = table[column].astype(_KINDS[kind])
    return table


def write(table: pd.DataFrame, path: Path, contract: Contract) -> None:
    """Write a table as CSV or parquet (by the path's ending), after checking its contract."""
    _check_columns(table, contract, path)
    extra = [column for column in table.columns if column not in contract.columns]
    table = table[[*contract.columns, *extra]].astype({c: _KINDS[k] for c, k in contract.columns.items()})
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False, compression="zstd")
        else:
            quoting = csv.QUOTE_ALL if _holds_returns(table) else csv.QUOTE_MINIMAL
            table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8", quoting=quoting)


def with_probs(rows: pd.DataFrame, probs: NDArray[Any], classes: Sequence[str]) -> pd.DataFrame:
    """Put a column per class beside rows, probs (rows, classes); at once, since pandas warns of column after column."""
    columns = pd.DataFrame(probs, columns=[PROBABILITY + name for name in classes])
    return pd.concat([rows.reset_index(drop=True), columns], axis=1)


def write_json(value: Any, path: Path) -> None:
    """Write JSON with sorted keys; refuses NaN and infinities, which are not JSON."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(text + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Write UTF-8 text with plain line feeds."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def read_json(path: Path) -> Any:
    """Read JSON that another stage wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, moved over it in one step if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def class_names(predictions: pd.DataFrame) -> list[str]:
    """Return the classes of a table of predictions, in the order of its columns."""
    return [c.removeprefix(PROBABILITY) for c in predictions.columns if c.startswith(PROBABILITY)]


def rounded(value: float, digits: int = 6) -> float | None:
    """Round for a report; None (JSON's null) where there is no finite number."""
    return round(float(value), digits) if math.isfinite(value) else None


def _holds_returns(table: pd.DataFrame) -> bool:
    """Say whether a text holds a carriage return: to readers it ends a row, and csv quotes it from Python 3.13 on."""
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
