"""The images that decide and are scored, and the metric that scores them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import scratch
from podium.folds.outer_folds import in_parts
from podium.scoring import intervals, scores

Indices = NDArray[np.int64]
Probs = NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """Images with out-of-fold predictions; all arrays are (images,).

    Attributes:
        targets: class indices.
        folds: whose model predicted the image out of fold, from 0.
        groups: what is independent of each other, from 0; no group is in two parts.
        parts: what is left out together when something is chosen (see `in_parts`), from 0.
        metric: the contest's.
    """

    targets: Indices
    folds: Indices
    groups: Indices
    parts: Indices
    metric: scores.Metric

    @property
    def all_parts(self) -> range:
        """Return the parts' numbers."""
        return range(int(self.parts.max()) + 1)

    @property
    def by_log_loss(self) -> bool:
        """Say whether log losses decide between candidates, or the metric itself."""
        return self.metric.name in intervals.BY_LOG_LOSS

    def rows(self, parts: Collection[int]) -> Indices:
        """Return the positions of the images of these parts, in order."""
        wanted = np.isin(self.all_parts, list(parts))
        return np.flatnonzero(wanted[self.parts])

    def left(self, without: Collection[int]) -> list[int]:
        """Return the parts that remain."""
        return [part for part in self.all_parts if part not in without]

    def gathered(self, by_part: Mapping[int, Probs]) -> Probs:
        """Put parts' predictions in the order of the images."""
        order = np.concatenate([self.rows({part}) for part in by_part])
        probs = np.concatenate(list(by_part.values()))[np.argsort(order)]
        for of_part in by_part.values():
            scratch.release(of_part)
        return cast(Probs, probs)


def of_folds(used: pd.DataFrame, fold_names: Sequence[str], classes: Sequence[str], metric: scores.Metric) -> Scored:
    """Describe images by their rows of tables.FOLDS.

    Args:
        used: rows with use "train", in the order of their predictions.
        fold_names: in params.yaml's order.
        classes: in the order of the models' outputs.
        metric: the contest's.
    """
    targets = np.asarray(pd.Index(classes).get_indexer(used["label"]), np.int64)
    folds = np.asarray(pd.Index(fold_names).get_indexer(used["fold"]), np.int64)
    groups = intervals.dense(used["group"].to_numpy(str))
    return Scored(targets, folds, groups, in_parts(folds, groups, targets), metric)
