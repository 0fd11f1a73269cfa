"""Folds of images with several labels."""

import numpy as np
import pandas as pd

from podium import contracts
from podium.core import targets
from podium.folds import assignment, balance, label_set_folds

FOLDS = ("0", "1", "2", "3", "4")
NONE = pd.DataFrame(columns=list(contracts.CLUSTERS.columns), dtype="str")


def images(n_images: int, group_size: int, seed: int = 0) -> pd.DataFrame:
    """Images whose rarest label is rare, in groups that share most labels; contracts.LABELS."""
    random = np.random.default_rng(seed)
    shares, names = np.array([0.5, 0.3, 0.1, 0.03]), np.array(list("abcd"))
    groups = np.arange(n_images) // group_size
    of_group = random.random((groups.max() + 1, 4)) < shares
    ones = np.where(random.random((n_images, 4)) < 0.8, of_group[groups], random.random((n_images, 4)) < shares)
    table = pd.DataFrame({"image_id": [f"{i:04}" for i in range(n_images)], "use": "train", "reason": "", "fold": ""})
    table["label"] = [targets.as_cell(names[row]) for row in ones]
    return table.assign(group=groups.astype(str))


def test_every_label_is_spread_evenly_and_no_group_is_split() -> None:
    for group_size in (1, 3):
        used = images(600, group_size)
        fold = label_set_folds.draw(used, FOLDS, seed=1)
        assert (pd.Series(fold).groupby(used["group"].to_numpy()).nunique() == 1).all()
        by_label = targets.one_label_a_row(used.assign(fold=fold))
        counts = pd.crosstab(by_label["label"], by_label["fold"])
        assert (counts.max(axis=1) - counts.min(axis=1) <= 2 * group_size).all()
        sizes = pd.Series(fold).value_counts()
        assert sizes.max() - sizes.min() <= 0.15 * len(used) / len(FOLDS)


def test_the_order_of_rows_changes_nothing_and_the_seed_does() -> None:
    table = images(90, 2)
    folds = [
        assignment.assign(rows, clusters=NONE, unreadable=[], names=FOLDS[:3], seed=seed).table
        for rows, seed in ((table, 0), (table.sample(frac=1, random_state=1), 0), (table, 1))
    ]
    pd.testing.assert_frame_equal(folds[0], folds[1])
    assert (folds[0]["fold"] != folds[2]["fold"]).any()


def test_balance_and_warnings_speak_of_labels() -> None:
    table = images(90, 1)
    table.loc[[0, 1], "label"] = ["{a|rare}", "{}"]
    found = assignment.assign(table, clusters=NONE, unreadable=[], names=FOLDS[:3], seed=0)
    assert any("'rare' (1 image in 1 group)" in warning for warning in found.warnings)
    summary = balance.summary(found.table)
    assert sum(summary["images_per_fold"].values()) == 90
    assert set(summary["images_per_class_per_fold"]) == {*"abcd", "rare"}
