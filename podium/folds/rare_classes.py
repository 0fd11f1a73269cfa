"""Classes with fewer groups than folds: spread over folds as far as they go, and named.

The class of a single group is in every training but that of the fold that holds the group out. The model of that fold
predicts it without ever having seen it, so out-of-fold scores say nothing of how well the class is recognised.
"""

from collections.abc import Sequence

import pandas as pd

from podium.core import targets
from podium.core.errors import some
from podium.core.wording import counted


def table(used: pd.DataFrame, n_folds: int) -> pd.DataFrame:
    """Return the rare classes: index label, columns images and groups.

    Args:
        used: label and group of each image.
        n_folds: a class with fewer groups is rare.
    """
    counts = targets.one_label_a_row(used).groupby("label").agg(images=("group", "size"), groups=("group", "nunique"))
    return counts[counts["groups"] < n_folds]


def described(rare: pd.DataFrame) -> str:
    """Name the first rare classes with their images and groups."""
    return some(
        [
            f"{label!r} ({counted(images, 'image')} in {counted(groups, 'group')})"
            for label, images, groups in rare.itertuples()
        ]
    )


def warnings(used: pd.DataFrame, n_folds: int) -> list[str]:
    """Warn of rare classes."""
    rare = table(used, n_folds)
    if rare.empty:
        return []
    return [
        f"{counted(len(rare), 'class has', 'classes have')} fewer groups than the {n_folds} folds (kept all the same):"
        f" {described(rare)}; scores of folds without a class say nothing of it"
    ]


def unseen(used: pd.DataFrame) -> list[str]:
    """Return the classes whose images are all in one fold: its model is never trained on them."""
    n_folds = targets.one_label_a_row(used).groupby("label")["fold"].nunique()
    return sorted(n_folds[n_folds < 2].index)


def spread(used: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """Return each image's fold, after a rare class of several groups has left the one fold that held them all.

    Its smallest group moves to the smallest other fold, so that every model but one is trained on some of the class.

    Args:
        used: label, group and fold of each image; no group crosses folds.
        names: of the folds.
    """
    fold = used["fold"].copy()
    rare = table(used, len(names))
    for label in [name for name in unseen(used) if name in rare.index and rare.loc[name, "groups"] > 1]:
        of_class = used[used["label"] == label]
        if fold[of_class.index].nunique() > 1:
            continue  # the group of another class took it along
        sizes = used.loc[used["group"].isin(of_class["group"]), "group"].value_counts()
        group = min(sizes.index, key=lambda name: (sizes[name], name))
        others = fold.value_counts().reindex([name for name in names if name != fold[of_class.index[0]]], fill_value=0)
        fold[used["group"] == group] = others.idxmin()
    return fold
