"""What a blending method is, and how a fitted blend is applied; the methods are in podium/ensembling/methods.

`members` is a sequence of calibrated probabilities (images, classes), one per member, which may be made when asked for:
no function holds more than a few at once unless images are few. Every blend is a sum of contributions of one member
each, so that it is applied to any number of members in the memory of one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from podium.core import row_blocks
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets, Values

_BLOCK = 2**20  # cells that are added at once
Utility = Callable[[Targets, Probs], float]


@dataclass(frozen=True)
class Fitting:
    """What the methods fit with.

    Attributes:
        targets: (images,) class indices.
        utility: what greedy selection raises; None for log loss.
        greedy_rounds: picks in each bag.
    """

    targets: Targets
    utility: Utility | None = None
    greedy_rounds: int = 20


class Blend(Protocol):
    """What a method returns."""

    @property
    def weights(self) -> Values | None:
        """Return the members' weights (members,), None where they have none of their own."""

    def add(self, total: Values, member: int, probs: Probs) -> None:
        """Add one member's contribution to the running total (images, classes)."""

    def finish(self, total: Values) -> Probs:
        """Turn the total into probabilities (images, classes)."""


@dataclass(frozen=True)
class BlendSizes:
    """What decides whether a method can be used.

    Attributes:
        of_ranks: whether the contest's metric looks at ranks alone.
    """

    n_members: int
    n_classes: int
    of_ranks: bool


def _always(sizes: BlendSizes) -> str:  # noqa: ARG001
    return ""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to blend. A fact without a default must be given: forgetting one is an error at import.

    Attributes:
        name: as in `ensemble.method`.
        meaning: what it does, for the report.
        fit: fits a blend on out-of-fold predictions.
        order: simpler methods have lower numbers; they come first in tables and win ties.
        is_tempered: whether the blend's probabilities are scaled by a temperature afterwards.
        unusable: says why the method cannot be used, "" where it can.
    """

    name: str
    meaning: str
    fit: Callable[[Sequence[Probs], Fitting], Blend]
    order: int
    is_tempered: bool
    unusable: Callable[[BlendSizes], str] = _always


@dataclass(frozen=True, eq=False)
class LinearBlend:
    """Weighted mean of probabilities."""

    weights: Values

    def add(self, total: Values, member: int, probs: Probs) -> None:
        """See Blend."""
        if self.weights[member] > 0:
            for rows in row_blocks.of(probs.shape, _BLOCK):
                total[rows] += self.weights[member] * probs[rows]

    def finish(self, total: Values) -> Probs:
        """See Blend."""
        return total.astype(np.float32)


@dataclass(frozen=True, eq=False)
class LogBlend:
    """Weighted mean of log probabilities: one confident member can veto a class.

    Source: Genest & Zidek 1986, Statistical Science 1(1), logarithmic opinion pool.
    """

    weights: Values

    def add(self, total: Values, member: int, probs: Probs) -> None:
        """See Blend."""
        for rows in row_blocks.of(probs.shape, _BLOCK):
            total[rows] += self.weights[member] * calibration.log_probs(probs[rows])

    def finish(self, total: Values) -> Probs:
        """See Blend."""
        return calibration.scaled(total.astype(np.float32), 1.0)


def blended(blend: Blend, members: Iterable[Probs]) -> Probs:
    """Apply a blend to probabilities (images, classes), one per member."""
    total: Values | None = None
    for index, probs in enumerate(members):
        total = np.zeros(probs.shape, np.float64) if total is None else total
        blend.add(total, index, probs)
    if total is None:
        raise ValueError("no members to blend")
    return blend.finish(total)


def equal_weights(count: int) -> Values:
    """Return the same weight for every member (members,)."""
    return np.full(count, 1 / count)


def own_probs(probs: Probs, targets: Targets) -> Values:
    """Return what each member gives the right class (..., images)."""
    own = np.asarray(probs)[..., np.arange(len(targets)), targets]
    return np.maximum(own.astype(np.float64), calibration.FLOOR)
