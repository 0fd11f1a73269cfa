"""The images that decide and are scored, and the metric that scores them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import scratch, targets
from podium.folds.outer_folds import deal
from podium.scoring import intervals, scores
from podium.scoring.log_losses import log_losses

Indices = NDArray[np.int64]
Probs = NDArray[np.float32]


@dataclass(frozen=True)
class EvaluationSet:
    """Images with out-of-fold predictions; all arrays are (images,), of sets of labels (images x labels,).

    Attributes:
        targets: class indices.
        folds: whose model predicted the image out of fold, from 0.
        groups: what is independent of each other, from 0; no group is in two outer_folds.
        outer_folds: what is left out together when something is chosen (see `deal`), from 0.
        metric: the contest's.
    """

    targets: Indices
    folds: Indices
    groups: Indices
    outer_folds: Indices
    metric: scores.Metric

    @property
    def all_outer_folds(self) -> range:
        """Return the outer_folds' numbers."""
        return range(int(self.outer_folds.max()) + 1)

    def cost(self, rows: Indices, probs: Probs) -> float:
        """Return what a choice makes as small as it can, on the images at `rows`; probs are (rows, classes)."""
        return choice_cost(self.metric, self.targets[rows], probs)

    def rows(self, outer_folds: Collection[int]) -> Indices:
        """Return the positions of the images of these outer_folds, in order."""
        wanted = np.isin(self.all_outer_folds, list(outer_folds))
        return np.flatnonzero(wanted[self.outer_folds])

    def remaining(self, held_out: Collection[int]) -> list[int]:
        """Return the outer_folds that remain."""
        return [outer_fold for outer_fold in self.all_outer_folds if outer_fold not in held_out]

    def gathered(self, by_outer_fold: Mapping[int, Probs]) -> Probs:
        """Put outer_folds' predictions in the order of the images."""
        rows = {outer_fold: self.rows({outer_fold}) for outer_fold in by_outer_fold}
        order, first = np.sort(np.concatenate(list(rows.values()))), next(iter(by_outer_fold.values()))
        probs = np.empty((len(order), *first.shape[1:]), first.dtype)  # filled in place: tables may be large
        for outer_fold, of_outer_fold in by_outer_fold.items():
            probs[np.searchsorted(order, rows[outer_fold])] = of_outer_fold
            scratch.release(of_outer_fold)
        return probs


def choice_cost(metric: scores.Metric, own: Indices, probs: Probs) -> float:
    """Return what a choice makes as small as it can: see Metric.chosen_by.

    For "balanced_log_loss" probabilities are divided by the class frequencies, as the predicted class will be, and
    every class has the same weight.

    Args:
        metric: the contest's.
        own: (images,) class indices.
        probs: (images, classes) calibrated probabilities of a candidate.
    """
    if metric.chosen_by == "log_loss":
        return float(log_losses(own, probs).mean())
    if metric.chosen_by == "itself":
        return -metric.utility(own, probs)
    counts = np.bincount(own, minlength=probs.shape[1])
    losses = log_losses(own, probs / np.maximum(counts, 1))
    by_class = np.bincount(own, losses, minlength=probs.shape[1])[counts > 0] / counts[counts > 0]
    return float(by_class.mean())


def of_folds(
    used: pd.DataFrame, fold_names: Sequence[str], classes: Sequence[str], metric: scores.Metric
) -> EvaluationSet:
    """Describe images by their rows of tables.FOLDS.

    Args:
        used: rows with use "train", in the order of their predictions.
        fold_names: in params.yaml's order.
        classes: in the order of the models' outputs.
        metric: the contest's.
    """
    found = targets.as_rows(targets.of_labels(used["label"], classes))
    folds = np.asarray(pd.Index(fold_names).get_indexer(used["fold"]), np.int64)
    groups = intervals.dense(used["group"].to_numpy(str))
    kinds = np.unique(used["label"].to_numpy(str), return_inverse=True)[1] if targets.are_sets(classes) else found
    outer = deal(folds, groups, np.asarray(kinds, np.int64))
    folds, groups, outer = (targets.rows_of_images(values, classes) for values in (folds, groups, outer))
    return EvaluationSet(found, folds, groups, outer, metric)
