"""Stratified folds of images with several labels: iterative stratification, of whole groups.

Source: Sechidis, Tsoumakas & Vlahavas 2011, On the stratification of multi-label data, ECML PKDD, 145-158.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import targets


def draw(used: pd.DataFrame, names: Sequence[str], seed: int) -> NDArray[np.object_]:
    """Draw folds that no group crosses, with an even share of each label in each.

    The label with the fewest images left is dealt first. Each of its groups, the largest first, goes to the fold that
    lacks most images of this label; of several such folds to the one that lacks most images. Images without a label
    come last.

    Args:
        used: label (sets) and group.
        names: of the folds.
        seed: of the order of equal groups and folds.

    Returns:
        each row's fold; a fold may remain empty.
    """
    random = np.random.default_rng(seed)
    groups, of_row = np.unique(used["group"].to_numpy(str), return_inverse=True)
    ones = targets.of_labels(used["label"], targets.class_names(used["label"]))
    counts = np.zeros((len(groups), ones.shape[1] + 1))  # the last column counts images
    np.add.at(counts, of_row, np.column_stack([ones, np.ones(len(ones))]))
    order = random.permutation(len(groups))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    lacking = np.tile(counts.sum(axis=0) / len(names), (len(names), 1))
    ties, fold_of = random.permutation(len(names)), np.full(len(groups), -1)
    while (open_groups := order[fold_of[order] < 0]).size:
        left = counts[open_groups].sum(axis=0)
        label = int(np.argmin(np.where(left > 0, left, np.inf)))
        for group in open_groups[counts[open_groups, label] > 0]:
            fold = np.lexsort((ties, -lacking[:, -1], -lacking[:, label]))[0]
            fold_of[group] = fold
            lacking[fold] -= counts[group]
    return np.array([names[fold] for fold in fold_of[of_row]], dtype=object)
