"""Measure how evenly the classes are spread over the folds, and whether groups prevent an even spread."""

from typing import Any

import numpy as np
import pandas as pd

from podium.core import targets
from podium.core.errors import some


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Count the images of every fold and class, without skipped ones.

    Args:
        table: tables.FOLDS.

    Returns:
        columns fold, label, images: every pair, those without images included, sorted.
    """
    return _cells(_wide(table).T).sort_values(["fold", "label"])


def deviations(table: pd.DataFrame) -> pd.DataFrame:
    """Compare each fold's images of a class with an even share.

    An even share is the class's images divided by the number of folds. A difference below 1 is rounding. A draw without
    stratification would give sqrt(even share), the standard deviation of a count. Larger differences are a fault:

    - "group": one group alone holds at least an image more than the even share, so no split can be even;
    - "several": the difference is larger than this group explains, and larger than twice the chance level. Groups with
      several classes then conflict, and the draw found no better split.

    Args:
        table: tables.FOLDS.

    Returns:
        columns label, fold, images, even_share, largest_group (images of the class in one group), deviation (images)
        and fault ("", "group" or "several"); the largest deviation first.
    """
    wide = _wide(table)
    used = targets.one_label_a_row(table[table["use"] == "train"])
    largest = used.groupby(["label", "group"]).size().groupby("label").max().rename("largest_group")
    cells = _cells(wide)
    cells["even_share"] = cells["label"].map(wide.mean(axis=1))
    cells = cells.merge(largest.reset_index(), on="label", validate="many_to_one")
    cells["deviation"] = (cells["images"] - cells["even_share"]).abs()
    by_chance = cells["even_share"] ** 0.5
    overfills = cells["largest_group"] >= cells["even_share"] + 1
    several = cells["deviation"] > np.maximum(cells["largest_group"], 2 * by_chance)
    group = overfills & (cells["deviation"] > np.maximum(1, by_chance))
    cells["fault"] = np.select([group, several], ["group", "several"], "")
    return cells.sort_values(["deviation", "label", "fold"], ascending=[False, True, True], ignore_index=True)


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """Return the content of balance.json for tables.FOLDS.

    Returns:
        images_per_fold, images_per_class_per_fold, groups_of_several (number of groups with two images or more),
        worst_share_deviation (the largest difference between a class's share in a fold and in all images), worst (the
        row of `deviations` with the largest deviation), and unbalanced_classes (those with a fault).
    """
    wide = _wide(table)
    used = table[table["use"] == "train"]
    groups = used["group"].value_counts()
    shares = wide.div(wide.sum(axis=0), axis=1).sub(wide.sum(axis=1) / wide.to_numpy().sum(), axis=0)
    cells = deviations(table)
    worst = cells.iloc[0]
    return {
        "images_per_fold": {str(fold): int(n) for fold, n in used["fold"].value_counts().sort_index().items()},
        "images_per_class_per_fold": {
            str(label): {str(f): int(n) for f, n in row.items()} for label, row in wide.iterrows()
        },
        "groups_of_several": int((groups > 1).sum()),
        "worst_share_deviation": round(float(shares.abs().to_numpy().max()), 6),
        "worst": {
            "label": str(worst["label"]),
            "fold": str(worst["fold"]),
            "images": int(worst["images"]),
            "even_share": round(float(worst["even_share"]), 3),
            "largest_group": int(worst["largest_group"]),
        },
        "unbalanced_classes": sorted(set(cells.loc[cells["fault"] != "", "label"])),
    }


def warnings(table: pd.DataFrame) -> list[str]:
    """Warn of classes that are unbalanced because groups may not be split."""
    cells = deviations(table).drop_duplicates("label")
    fewer = "fewer folds or " if table.loc[table["use"] == "train", "fold"].nunique() > 2 else ""
    causes = {
        "group": "groups make a balanced split impossible, because one group alone exceeds a fold's share:"
        f" use {fewer}smaller groups",
        "several": f"groups prevent balanced folds: try another split.seed, {fewer}smaller groups",
    }
    messages = []
    for fault, cause in causes.items():
        rows = [
            f"class {label!r} has {images} images in fold {fold}, {even_share:.1f} would be even (largest group"
            f" {largest})"
            for label, fold, images, even_share, largest, _, _ in cells[cells["fault"] == fault].to_numpy()
        ]
        if rows:
            messages.append(f"{cause}. {some(rows, 3)}")
    return messages


def crossing_groups(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of tables.FOLDS whose group is in several folds; only the user's own folds can split a group.

    Skipped images are left out.
    """
    used = table[table["use"] == "train"]
    return used[used.groupby("group")["fold"].transform("nunique") > 1]


def _cells(wide: pd.DataFrame) -> pd.DataFrame:
    """Return a row per cell, with the column images; `stack`, because with `melt` a class may not be called fold."""
    return wide.stack().rename("images").reset_index()


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    """Count images without skipped ones: (classes, folds), both sorted by name."""
    used = targets.one_label_a_row(table[table["use"] == "train"])
    return pd.crosstab(used["label"], used["fold"])
