"""Refuses contests with sets of labels, for scripts whose questions are about one class per image."""

from pathlib import Path

from podium.core import tables, targets
from podium.core.errors import InputError


def require(root: Path) -> None:
    """Read a project's folds.

    Raises:
        InputError: its images have sets of labels.
    """
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    if targets.are_sets(targets.class_names(folds.loc[folds["use"] == "train", "label"])):
        raise InputError(f"{root}: images have sets of labels (contest.task: labels), and this needs one class each")
