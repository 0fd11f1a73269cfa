"""Choosing image sizes and weights of members, and blending them; scored on images that chose nothing.

`sized` is one array (sizes, images, classes) of out-of-fold probabilities per member. A `Utility` is a score of
(targets, probs) that is better when higher.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Probs = NDArray[np.float32]
Targets = NDArray[np.int64]
Weights = NDArray[np.float64]
Utility = Callable[[Targets, Probs], float]
Method = Callable[[Probs, Targets, Utility, int], Weights]

NEAR_TIE = 0.002  # of a score: sizes this close to the training size are not worth leaving it


@dataclass(frozen=True)
class Choice:
    """A blend: for each member the positions of its sizes, which are averaged, and its weight (members,)."""

    sizes: tuple[tuple[int, ...], ...]
    weights: Weights

    def blend(self, sized: Sequence[Probs]) -> Probs:
        """Blend to (images, classes)."""
        total = np.zeros(sized[0].shape[1:], np.float64)
        for probs, positions, weight in zip(sized, self.sizes, self.weights, strict=True):
            if weight > 0:
                total += weight * averaged(probs, positions)
        return total.astype(np.float32)


def equal(probs: Probs, _targets: Targets, _utility: Utility, _rounds: int) -> Weights:
    """Give every member the same weight (members,)."""
    return np.full(len(probs), 1 / len(probs))


def greedy(probs: Probs, targets: Targets, utility: Utility, rounds: int) -> Weights:
    """Add one member a round, with replacement, and keep the round that scored best.

    The first pick is the best single member, so that the blend is never below it on these images. Ties go to the
    first member and the earlier round.

    Args:
        probs: (members, images, classes).
        targets: (images,) class indices.
        utility: what is maximised.
        rounds: picks that are made.

    Returns:
        weights (members,), multiples of 1 / picks that sum to 1.

    Source: Caruana et al. 2004, Ensemble selection from libraries of models, ICML.
    """
    total = np.zeros(probs.shape[1:], np.float64)
    counts = np.zeros(len(probs), np.int64)
    best, best_counts = -np.inf, counts
    for picks in range(1, rounds + 1):
        utilities = [utility(targets, ((total + candidate) / picks).astype(np.float32)) for candidate in probs]
        pick = int(np.argmax(utilities))
        total += probs[pick]
        counts[pick] += 1
        if utilities[pick] > best:
            best, best_counts = utilities[pick], counts.copy()
    weights: Weights = best_counts / best_counts.sum()
    return weights


METHODS: dict[str, Method] = {"equal": equal, "greedy": greedy}


def averaged(probs: Probs, positions: Sequence[int]) -> Probs:
    """Average (sizes, images, classes) over the sizes at `positions`: (images, classes)."""
    mean: Probs = probs[list(positions)].mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def pick_image_sizes(probs: Probs, targets: Targets, utility: Utility, usual: int) -> tuple[int, ...]:
    """Pick a single size, or the mean of all, by score; near ties go to the usual size.

    Args:
        probs: (sizes, images, classes).
        targets: (images,) class indices.
        utility: what is maximised.
        usual: position of the size that is kept unless another is better by more than NEAR_TIE.

    Returns:
        positions of the sizes to average.
    """
    n_sizes = len(probs)
    if n_sizes == 1:
        return (0,)
    candidates = [(usual,), *((i,) for i in range(n_sizes) if i != usual), tuple(range(n_sizes))]
    utilities = [utility(targets, averaged(probs, positions)) for positions in candidates]
    best = int(np.argmax(utilities))
    return candidates[best] if utilities[best] > utilities[0] + NEAR_TIE else candidates[0]


def choose(
    sized: Sequence[Probs], targets: Targets, *, usual_sizes: Sequence[int], utility: Utility, method: str, rounds: int
) -> Choice:
    """Choose every member's sizes, then the weights, on the images given.

    Args:
        sized: per member (sizes, images, classes).
        targets: (images,) class indices.
        usual_sizes: per member, the position of its training size.
        utility: what sizes and weights maximise.
        method: of METHODS.
        rounds: of greedy.
    """
    sizes = tuple(
        pick_image_sizes(probs, targets, utility, usual) for probs, usual in zip(sized, usual_sizes, strict=True)
    )
    stacked = np.stack([averaged(probs, positions) for probs, positions in zip(sized, sizes, strict=True)])
    return Choice(sizes, METHODS[method](stacked, targets, utility, rounds))


def nested_oof(
    sized: Sequence[Probs], targets: Targets, folds: NDArray[np.str_], choose_on: Callable[..., Choice]
) -> tuple[Probs, list[Probs]]:
    """Blend each fold with the sizes and weights that the other folds chose: nothing is chosen on what it scores.

    Args:
        sized: per member (sizes, images, classes), out of fold.
        targets: (images,) class indices.
        folds: (images,) each image's fold.
        choose_on: (sized, targets) -> Choice.

    Returns:
        the blend (images, classes), and each member at the sizes the other folds chose for it.
    """
    blended = np.empty(sized[0].shape[1:], np.float32)
    singles = [np.empty_like(blended) for _ in sized]
    for fold in np.unique(folds):
        here = folds == fold
        choice = choose_on([probs[:, ~here] for probs in sized], targets[~here])
        held_out = [probs[:, here] for probs in sized]
        blended[here] = choice.blend(held_out)
        for single, probs, positions in zip(singles, held_out, choice.sizes, strict=True):
            single[here] = averaged(probs, positions)
    return blended, singles
