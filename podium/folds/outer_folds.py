"""Outer folds of nested cross-validation.

Each outer fold is held out once: everything selected for it uses the other outer folds only. The selection between
methods holds out one more, so every pair of outer folds is held out once, too.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
MOST = 5  # outer folds; each one and each pair of them is held out once: 15 selections


def deal(folds: Indices, groups: NDArray[Any], targets: Indices) -> Indices:
    """Deal images to three to five outer folds, by fold; fewer if two folds have too few groups to be halved.

    Two folds are halved by group, class by class. With more than five folds, several folds form one outer fold.

    Args:
        folds: (images,) from 0.
        groups: (images,) names or numbers; images of different groups are independent.
        targets: (images,) class indices.

    Returns:
        each image's outer fold, from 0 without a gap.
    """
    if folds.max() > 1:
        return folds % MOST
    names, numbers = np.unique(groups, return_inverse=True)
    half = np.zeros(len(names), np.int64)
    for fold in np.unique(folds):
        in_fold = folds == fold
        own_groups, first = np.unique(numbers[in_fold], return_index=True)
        by_class = np.lexsort((own_groups, targets[in_fold][first]))
        half[own_groups[by_class]] = np.arange(len(own_groups)) % 2
    return np.asarray(np.unique(folds * 2 + half[numbers], return_inverse=True)[1], np.int64)


def unusable_reason(outer_folds: Indices, targets: Indices, classes: Sequence[str]) -> str:
    """Return why nothing can be selected without each pair of outer folds, "" if it can.

    Args:
        outer_folds: (images,) of `deal`.
        targets: (images,) class indices.
        classes: by index.
    """
    if outer_folds.max() < 2:
        return "two folds of one group each cannot be halved"
    pairs = combinations(range(int(outer_folds.max()) + 1), 2)
    for left in ({int(k) for k in targets[~np.isin(outer_folds, pair)]} for pair in pairs):
        if len(left) < 2:
            return f"without a pair of folds, only class {classes[left.pop()]!r} is left"
    return ""
