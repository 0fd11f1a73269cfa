"""The parts of the images: what is left out together when something is chosen without the images that score it.

A choice for one part is made on the others, and the choice between methods on those without one more: every part and
every pair of parts is left out once.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
MOST = 5  # 15 choices


def in_parts(folds: Indices, groups: NDArray[Any], targets: Indices) -> Indices:
    """Deal images into parts by fold: three to five, fewer where two folds have too few groups to be halved.

    Two folds are halved by group, class by class. More than five folds share parts.

    Args:
        folds: (images,) from 0.
        groups: (images,) names or numbers; what is independent of each other.
        targets: (images,) class indices.

    Returns:
        each image's part, from 0 without a gap.
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


def without_choice(parts: Indices, targets: Indices, classes: Sequence[str]) -> str:
    """Say why nothing can be chosen without each pair of parts, "" where it can.

    Args:
        parts: (images,) of in_parts.
        targets: (images,) class indices.
        classes: by index.
    """
    if parts.max() < 2:
        return "two folds of one group each cannot be halved"
    pairs = combinations(range(int(parts.max()) + 1), 2)
    for left in ({int(k) for k in targets[~np.isin(parts, pair)]} for pair in pairs):
        if len(left) < 2:
            return f"without a pair of them only class {classes[left.pop()]!r} is left"
    return ""
