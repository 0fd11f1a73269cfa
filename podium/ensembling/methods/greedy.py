"""Forward selection with replacement, in bags."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from podium.core import seeding
from podium.ensembling.blending import Fitting, LinearBlend, Method, own_probs
from podium.predictions.calibration import Probs, Targets, Values

BAGS = 10  # of greedy selection
BAG_IMAGES = 2000  # in a bag, where there are more
BAG_IMAGES_OF_CLASS = 5  # at least, where there are as many: a metric may be undefined without a rare class


def fit(members: Sequence[Probs], fitting: Fitting) -> LinearBlend:
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
                bag.seen.append(own_probs(here, fitting.targets[bag.images]) if fitting.utility is None else here)
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


METHOD = Method(
    name="greedy",
    meaning="members are added one at a time, each as often as it helps; weights by how often",
    fit=fit,
    order=3,
    is_tempered=True,
)
