"""What DVCLive logged in many trainings, gathered into one table: a plot a training would be too many."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from podium import contracts
from podium.core import tables
from podium.core.errors import InputError

_KEYS = tuple(contracts.CURVES.columns)
_NOTHING_TRAINED = {  # what the plots show
    **dict.fromkeys(("member", "fold", "phase"), "str"),
    "epoch": "int64",
    "held_out_accuracy_score": "float64",
    "held_out_log_loss": "float64",
}


def gather(trainings: Sequence[tuple[str, str, str]], root: Path) -> pd.DataFrame:
    """Read the curves of trainings (member, fold, phase) from data/<phase>/<member>/<fold>.live.

    Returns:
        columns of contracts.CURVES and one per series, e.g. train_loss; missing where a training did not log it.

    Raises:
        InputError: a training has no curves.
    """
    if not trainings:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _NOTHING_TRAINED.items()})
    found = []
    for member, fold, phase in trainings:
        curves = read_live(root / f"data/{phase}/{member}/{fold}.live")
        found.append(curves.assign(member=member, fold=fold, phase=phase))
    table = pd.concat(found, ignore_index=True)
    return table[[*_KEYS, *sorted(set(table.columns).difference(_KEYS))]]


def read_live(folder: Path) -> pd.DataFrame:
    """Read one DVCLive folder: epoch, and a column per series named by its path (train/loss is train_loss)."""
    plots = folder / "plots/metrics"
    files = sorted(plots.rglob("*.tsv"))
    if not files:
        raise InputError(f"{plots}: holds no curves; run `dvc repro` to rebuild them")
    series = [pd.read_csv(file, sep="\t").set_index("step").iloc[:, 0].rename(_name(file, plots)) for file in files]
    return pd.concat(series, axis=1).sort_index().rename_axis("epoch").reset_index()


def write(table: pd.DataFrame, path: Path) -> None:
    """Write gathered curves."""
    series = dict.fromkeys(table.columns.difference(_KEYS), "float")
    tables.write(table, path, tables.Contract({**contracts.CURVES.columns, **series}, key=contracts.CURVES.key))


def _name(file: Path, plots: Path) -> str:
    return "_".join(file.relative_to(plots).with_suffix("").parts)
