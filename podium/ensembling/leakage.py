"""Labels that test images' duplicates among the train images give away, used only where the user asks for it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium import contracts

Probs = NDArray[np.float32]

SURE = 0.99  # of a leaked label: duplicates are found by similarity, and labels can be wrong


def known(leaks: pd.DataFrame, folds: pd.DataFrame, *, exact_only: bool) -> tuple[pd.Series, list[str]]:
    """Return the label of each test image whose duplicates in train agree, indexed by its image_id.

    Args:
        leaks: contracts.LEAKS, which names the likest duplicates alone where a test image has very many: those that are
            not named might disagree, so it gets no label.
        folds: tables.FOLDS; only images that are used have a say.
        exact_only: whether near duplicates have none.

    Returns:
        the labels, and the ids of test images whose duplicates disagree, are not used or are too many to name.
    """
    pairs = leaks[leaks["kind"] == "exact"] if exact_only else leaks
    used = folds.loc[folds["use"] == "train", ["image_id", "label"]]
    labels = pairs.merge(used, left_on="train_image_id", right_on="image_id").groupby("test_image_id")["label"]
    rows = leaks.groupby("test_image_id").size()
    all_named = ~labels.first().index.isin(rows.index[rows >= contracts.MAX_DUPLICATES_NAMED])
    agreed = labels.first()[(labels.nunique() == 1) & all_named]
    return agreed, sorted(set(pairs["test_image_id"]).difference(agreed.index))


def apply(probs: Probs, image_ids: Sequence[str], classes: Sequence[str], labels: pd.Series) -> tuple[Probs, int]:
    """Put leaked labels into predictions.

    Args:
        probs: (images, classes).
        image_ids: of the rows.
        classes: of the columns.
        labels: of `known`.

    Returns:
        the predictions, and how many rows are replaced.
    """
    rows = np.flatnonzero(pd.Index(image_ids).isin(labels.index))
    columns = pd.Index(classes).get_indexer(labels.reindex([image_ids[int(row)] for row in rows]))
    replaced = probs.copy()
    replaced[rows] *= np.float32(1 - SURE)
    replaced[rows, columns] += np.float32(SURE)
    return replaced, len(rows)
