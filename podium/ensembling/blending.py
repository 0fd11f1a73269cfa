"""Ways to blend members: METHODS maps a name to a pure function that fits a blend on out-of-fold predictions.

`members` is a sequence of calibrated probabilities (images, classes), one per member, which may be made when asked for:
no function holds more than a few at once unless images are few. Every blend is a sum of contributions of one member
each, so that it is applied to any number of members in the memory of one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from podium.core import seeding
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets, Values

Folds = NDArray[np.int64]
Utility = Callable[[Targets, Probs], float]

BAGS = 10  # of greedy selection
BAG_IMAGES = 2000  # in a bag, where there are more
BAG_IMAGES_OF_CLASS = 5  # at least, where there are as many: a metric may be undefined without a rare class
SHRINKAGE = 20.0  # images whose worth of evidence holds log-loss weights at equal ones
INVERSE_PENALTY = 0.1  # scikit-learn's C of stacking: tools/measure_choices.py compares others
MAX_FEATURES = 500  # of stacking: members x classes
_NO_FOLDS = np.zeros(0, np.int64)


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

    def add(self, total: Values, member: int, probs: Probs, folds: Folds) -> None:
        """Add one member's contribution to the running total (images, classes)."""

    def finish(self, total: Values) -> Probs:
        """Turn the total into probabilities (images, classes)."""


Method = Callable[[Sequence[Probs], Fitting], Blend]


@dataclass(frozen=True, eq=False)
class LinearBlend:
    """Weighted mean of probabilities."""

    weights: Values

    def add(self, total: Values, member: int, probs: Probs, folds: Folds) -> None:  # noqa: ARG002
        """See Blend."""
        if self.weights[member] > 0:
            total += self.weights[member] * probs

    def finish(self, total: Values) -> Probs:
        """See Blend."""
        return total.astype(np.float32)


@dataclass(frozen=True, eq=False)
class LogBlend:
    """Weighted mean of log probabilities: one confident member can veto a class.

    Source: Genest & Zidek 1986, Statistical Science 1(1), logarithmic opinion pool.
    """

    weights: Values

    def add(self, total: Values, member: int, probs: Probs, folds: Folds) -> None:  # noqa: ARG002
        """See Blend."""
        total += self.weights[member] * calibration.log_probs(probs)

    def finish(self, total: Values) -> Probs:
        """See Blend."""
        return calibration.scaled(total.astype(np.float32), 1.0)


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


@dataclass(frozen=True, eq=False)
class StackedBlend:
    """Multinomial logistic regression on all members' log probabilities.

    Attributes:
        coefficients: (members, classes, classes): of a member's log probabilities, for each class's logit.
        intercepts: (classes,).
    """

    coefficients: Values
    intercepts: Values
    weights: None = None

    def add(self, total: Values, member: int, probs: Probs, folds: Folds) -> None:  # noqa: ARG002
        """See Blend."""
        total += _features(probs) @ self.coefficients[member]

    def finish(self, total: Values) -> Probs:
        """See Blend."""
        return calibration.scaled((total + self.intercepts).astype(np.float32), 1.0)


def equal(members: Sequence[Probs], fitting: Fitting) -> LinearBlend:  # noqa: ARG001
    """Blend by the plain mean of probabilities: the baseline to beat."""
    return LinearBlend(_equal(len(members)))


def logits(members: Sequence[Probs], fitting: Fitting) -> LogBlend:  # noqa: ARG001
    """Blend by the plain mean of log probabilities."""
    return LogBlend(_equal(len(members)))


def ranks(members: Sequence[Probs], fitting: Fitting) -> RankMean:  # noqa: ARG001
    """Blend by the plain mean of ranks within folds."""
    return RankMean(_equal(len(members)))


def greedy(members: Sequence[Probs], fitting: Fitting) -> LinearBlend:
    """Select members one at a time with replacement, in bags, and average the bags' weights.

    A bag offers a random half of the members, and BAG_IMAGES random images: what a single selection overfits differs
    between bags. Two members are always both offered.

    Source: Caruana et al. 2004, Ensemble selection from libraries of models, ICML.
    """
    bags = [_Bag(bag, len(members), fitting) for bag in range(BAGS)]
    for member in range(len(members)):
        probs = members[member]  # made once for all bags
        for bag in bags:
            if member in bag.offered:
                here = probs[bag.images]
                bag.seen.append(_own(here, fitting.targets[bag.images]) if fitting.utility is None else here)
    weights = np.zeros(len(members))
    for bag in bags:
        weights[bag.offered] += climb(np.stack(bag.seen), fitting.targets[bag.images], fitting)
    return LinearBlend(weights / BAGS)


class _Bag:
    """Members and images that one greedy selection is offered."""

    def __init__(self, number: int, n_members: int, fitting: Fitting) -> None:
        rng = np.random.default_rng(seeding.derive("greedy", number))
        self.offered = np.sort(rng.permutation(n_members)[: max(2, (n_members + 1) // 2)])
        order = rng.permutation(len(fitting.targets))
        places = np.arange(min(len(order), BAG_IMAGES))
        if fitting.utility is not None:
            places = np.union1d(places, _first_of_classes(fitting.targets[order]))
        self.images = np.sort(order[places])
        self.seen: list[NDArray[Any]] = []  # by offered member: probabilities, or of the right class where that is all


def _first_of_classes(targets: Targets) -> NDArray[np.int64]:
    """Return the places of the first BAG_IMAGES_OF_CLASS images of each class."""
    return np.concatenate([np.flatnonzero(targets == index)[:BAG_IMAGES_OF_CLASS] for index in np.unique(targets)])


def climb(seen: NDArray[Any], targets: Targets, fitting: Fitting) -> Values:
    """Add one member a round, with replacement, and keep the round that scored best.

    The first pick is the best single member, so that the blend is never below it on these images. Ties go to the
    first member and the earlier round.

    Args:
        seen: probabilities (members, images, classes); for log loss of the right class alone (members, images).
        targets: (images,) class indices.
        fitting: what is raised, and in how many rounds.

    Returns:
        weights (members,), multiples of 1 / picks that sum to 1.
    """
    total = np.zeros(seen.shape[1:], np.float64)
    counts = np.zeros(len(seen), np.int64)
    best, best_counts = -np.inf, counts
    for picks in range(1, fitting.greedy_rounds + 1):
        if fitting.utility is None:
            reached = np.log((total + seen) / picks).mean(axis=1)
        else:
            blends = [((total + one) / picks).astype(np.float32) for one in seen]
            reached = np.array([fitting.utility(targets, blend) for blend in blends])
        pick = int(np.argmax(reached))
        total += seen[pick]
        counts[pick] += 1
        if reached[pick] > best:
            best, best_counts = float(reached[pick]), counts.copy()
    return cast(Values, best_counts / best_counts.sum())


def weighted(members: Sequence[Probs], fitting: Fitting) -> LinearBlend:
    """Find the weights of the mean of probabilities with the smallest log loss, held at equal weights.

    Minimises the summed log loss over weights >= 0 that sum to 1, plus SHRINKAGE / 2 x members x the squared distance
    to equal weights: a convex problem. What few images say then moves little.
    """
    own = np.stack([_own(members[member], fitting.targets) for member in range(len(members))])  # (members, images)
    even = _equal(len(own))
    strength = SHRINKAGE * len(own)

    def loss(w: Values) -> tuple[float, Values]:
        blend = w @ own
        away = w - even
        value = -np.log(blend).sum() + strength / 2 * (away**2).sum()
        return value / own.shape[1], (-own @ (1 / blend) + strength * away) / own.shape[1]

    total = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like}
    found = optimize.minimize(
        loss, even, jac=True, method="SLSQP", bounds=[(0, 1)] * len(own), constraints=total, options={"ftol": 1e-9}
    )
    clipped = np.clip(found.x, 0, 1)
    return LinearBlend(np.asarray(clipped / clipped.sum(), np.float64))


def stacking(members: Sequence[Probs], fitting: Fitting) -> StackedBlend:
    """Fit a regularised logistic regression (scikit-learn) from all members' log probabilities to the class.

    Source: Wolpert 1992, Neural Networks 5(2); Ting & Witten 1999, JAIR 10 (probabilities, not labels).
    """
    features = np.hstack([_features(members[member]) for member in range(len(members))])
    n_classes = members[0].shape[1]
    from sklearn.linear_model import LogisticRegression  # half a second that only stacking needs

    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000, tol=1e-3).fit(features, fitting.targets)
    full = np.zeros((features.shape[1], n_classes))
    intercepts = np.full(n_classes, np.log(calibration.FLOOR))  # of a class that no image has
    if len(model.classes_) == 2:  # one logit, of the second class
        full[:, model.classes_] = np.column_stack([-model.coef_[0] / 2, model.coef_[0] / 2])
        intercepts[model.classes_] = np.array([-0.5, 0.5]) * model.intercept_[0]
    else:
        full[:, model.classes_], intercepts[model.classes_] = model.coef_.T, model.intercept_
    return StackedBlend(full.reshape(len(members), n_classes, n_classes), intercepts)


METHODS: dict[str, Method] = {
    "equal": equal,
    "logits": logits,
    "ranks": ranks,
    "greedy": greedy,
    "weighted": weighted,
    "stacking": stacking,
}


def without_use(method: str, *, of_ranks: bool, n_members: int, n_classes: int) -> str:
    """Say why a method cannot be used, "" where it can.

    Args:
        of_ranks: whether the contest's metric looks at ranks alone.
    """
    if method == "ranks" and not of_ranks:
        return "ranks are no probabilities: they are for metrics of ranks"
    if method == "stacking" and n_members * n_classes > MAX_FEATURES:
        return f"stacking {n_members} members with {n_classes} classes has more than {MAX_FEATURES} features"
    return ""


def blended(blend: Blend, members: Iterable[Probs], folds: Folds = _NO_FOLDS) -> Probs:
    """Apply a blend to probabilities (images, classes), one per member.

    Args:
        folds: (images,) whose model predicted each; only ranks look at it.
    """
    total: Values | None = None
    for index, probs in enumerate(members):
        total = np.zeros(probs.shape, np.float64) if total is None else total
        blend.add(total, index, probs, folds)
    if total is None:
        raise ValueError("no members to blend")
    return blend.finish(total)


def _equal(count: int) -> Values:
    return np.full(count, 1 / count)


def _own(probs: Probs, targets: Targets) -> Values:
    """Return what each member gives the right class (..., images)."""
    own = np.asarray(probs)[..., np.arange(len(targets)), targets]
    return np.maximum(own.astype(np.float64), calibration.FLOOR)


def _features(probs: Probs) -> Values:
    """Log probabilities about their mean over classes (images, classes): only their differences mean something."""
    logs = calibration.log_probs(probs).astype(np.float64)
    return cast(Values, logs - logs.mean(axis=1, keepdims=True))
