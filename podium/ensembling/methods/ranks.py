"""The plain mean of ranks among the out-of-fold predictions that the blend was fitted on, for metrics of ranks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from podium.ensembling.blending import BlendSizes, Fitting, Method, equal_weights
from podium.predictions.calibration import Probs, Values

KNOTS = 200  # of a reference at most: ranks between two of them are interpolated


@dataclass(frozen=True, eq=False)
class Ranking:
    """Ranks among reference probabilities of one member and class, as a rising function from [0, 1] to [0, 1].

    Attributes:
        values: (knots,) rising probabilities.
        ranks: (knots,) the share of reference probabilities below each, and half of those that equal it.
    """

    values: Values
    ranks: Values

    def of(self, probs: Probs) -> Values:
        """Return the ranks of probabilities (images,)."""
        return np.interp(probs, self.values, self.ranks)


@dataclass(frozen=True, eq=False)
class RankMean:
    """Mean of each class's ranks, in [0, 1]; rows scaled to sum 1.

    An image's rank is taken among the predictions that the blend was fitted on, never among the images that are
    predicted with it: those of a held-out fold, like test images, do not know of each other. Ranks within a held-out
    fold would take out how fold models differ, which the mean of probabilities has to bear in the same comparison.

    Only for metrics of rank: the result says which image is likelier of a class, not how likely. With two classes the
    two ranks of an image sum to 1 by themselves.

    Attributes:
        references: by member and class.
    """

    weights: Values
    references: tuple[tuple[Ranking, ...], ...]

    def add(self, total: Values, member: int, probs: Probs) -> None:
        """See Blend."""
        for index, ranking in enumerate(self.references[member]):
            total[:, index] += self.weights[member] * ranking.of(probs[:, index])

    def finish(self, total: Values) -> Probs:
        """See Blend."""
        return cast(Probs, (total / total.sum(axis=1, keepdims=True)).astype(np.float32))


def fit(members: Sequence[Probs], fitting: Fitting) -> RankMean:  # noqa: ARG001
    """Blend by the plain mean of ranks among these out-of-fold predictions."""
    references = (tuple(_ranking(of_class) for of_class in members[index].T) for index in range(len(members)))
    return RankMean(equal_weights(len(members)), tuple(references))


def _ranking(probs: Probs) -> Ranking:
    """Rank among probabilities (images,); 0 and 1 are the ends, so that the surest of other images keep an order."""
    values, counts = np.unique(probs.astype(np.float64), return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(probs)
    if len(values) > KNOTS:
        places = np.linspace(0, len(values) - 1, KNOTS).round().astype(np.int64)
        values, ranks = values[places], ranks[places]
    low, high = np.zeros(int(values[0] > 0)), np.ones(int(values[-1] < 1))
    return Ranking(np.concatenate([low, values, high]), np.concatenate([low, ranks, high]))


def _unusable(sizes: BlendSizes) -> str:
    return "" if sizes.of_ranks else "ranks are no probabilities: they are for metrics of ranks"


METHOD = Method(
    name="ranks",
    meaning="the mean of their ranks, for metrics that score an order",
    fit=fit,
    order=2,
    is_tempered=False,
    unusable=_unusable,
)
