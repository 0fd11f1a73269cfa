"""The plain mean of ranks within folds, for metrics of ranks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from podium.ensembling.blending import BlendSizes, Fitting, Folds, Method, equal_weights
from podium.predictions.calibration import Probs, Values


@dataclass(frozen=True, eq=False)
class RankMean:
    """Mean of each class's ranks among the images that one fold's model predicted, in (0, 1); rows scaled to sum 1.

    Only for metrics of rank: the result says which image is likelier of a class, not how likely. With two classes the
    two ranks of an image sum to 1 by themselves.
    """

    weights: Values

    def add(self, total: Values, member: int, probs: Probs, folds: Folds) -> None:
        """See Blend."""
        from scipy import stats  # half a second, for this mean alone

        for fold in np.unique(folds):
            here = folds == fold
            total[here] += self.weights[member] * (stats.rankdata(probs[here], axis=0) - 0.5) / here.sum()

    def finish(self, total: Values) -> Probs:
        """See Blend."""
        return cast(Probs, (total / total.sum(axis=1, keepdims=True)).astype(np.float32))


def fit(members: Sequence[Probs], fitting: Fitting) -> RankMean:  # noqa: ARG001
    """Blend by the plain mean of ranks within folds."""
    return RankMean(equal_weights(len(members)))


def _unusable(sizes: BlendSizes) -> str:
    return "" if sizes.of_ranks else "ranks are no probabilities: they are for metrics of ranks"


METHOD = Method(
    name="ranks",
    fit=fit,
    order=2,
    is_tempered=False,
    unusable=_unusable,
)
