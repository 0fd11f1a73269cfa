"""The outer_folds of the images: what is left out together when something is chosen without the images that score it.

A choice for one outer_fold is made on the others, and the choice between methods on those without one more: every outer_fold and
every pair of outer_folds is left out once.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
MOST = 5  # 15 choices


def deal(folds: Indices, groups: NDArray[Any], targets: Indices) -> Indices:
    """Deal images into outer_folds by fold: three to five, fewer where two folds have too few groups to be halved.

    Two folds are halved by group, class by class. More than five folds share outer_folds.

    Args:
        folds: (images,) from 0.
        groups: (images,) names or numbers; what is independent of each other.
        targets: (images,) class indices.

    Returns:
        each image's outer_fold, from 0 without a gap.
    """
    if folds.max() > 1:
        return folds % MOST
    names, numbers = np.unique(groups, return_inverse=True)
    turn = np.zeros(len(names), np.int64)
    for fold in np.unique(folds):
        here = folds == fold
        mine, first = np.unique(numbers[here], return_index=True)
        by_class = np.lexsort((mine, targets[here][first]))
        turn[mine[by_class]] = np.arange(len(mine)) % 2
    return np.asarray(np.unique(folds * 2 + turn[numbers], return_inverse=True)[1], np.int64)


def unusable_reason(outer_folds: Indices, targets: Indices, classes: Sequence[str]) -> str:
    """Say why nothing can be chosen without each pair of outer_folds, "" where it can.

    Args:
        outer_folds: (images,) of deal.
        targets: (images,) class indices.
        classes: by index.
    """
    if outer_folds.max() < 2:
        return "two folds of one group each cannot be halved"
    pairs = combinations(range(int(outer_folds.max()) + 1), 2)
    for left in ({int(k) for k in targets[~np.isin(outer_folds, pair)]} for pair in pairs):
        if len(left) < 2:
            return f"without a pair of them only class {classes[left.pop()]!r} is left"
    return ""
