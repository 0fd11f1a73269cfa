"""Successive halving under a budget of time, and how optimistic a choice is: numbers only.

All candidates train on one fold; the better half trains on more folds; the best of them on all (Jamieson & Talwalkar
2016, arXiv 1502.07943, with folds as the resource in place of epochs).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FEWEST = 3  # candidates that are worth comparing: the own settings and two others
SHARES = (1.0, 1 / 2, 1 / 3)  # of a candidate's epochs, tried in this order until the budget suffices
Costs = Mapping[str, Sequence[float]]  # candidate -> its cost on each fold


@dataclass(frozen=True)
class Rung:
    """A round: so many candidates, on the first so many folds."""

    n_candidates: int
    n_folds: int


@dataclass(frozen=True)
class Plan:
    """What fits into a budget.

    Attributes:
        share: of each candidate's epochs that is trained.
        rungs: from one fold to all; none if nothing fits.
        seconds: that all rungs are expected to take; if nothing fits, those of the shortest plan.
    """

    share: float
    rungs: tuple[Rung, ...]
    seconds: float


def rungs(n_candidates: int, n_folds: int) -> tuple[Rung, ...]:
    """Return one fold, two folds where there are four or more, all folds; half the candidates at each step.

    The combination of the changes that helped joins in the second rung.
    """
    steps = [1, n_folds] if n_folds < 4 else [1, 2, n_folds]
    found = []
    for place, folds in enumerate(steps):
        found.append(Rung(n_candidates, folds))
        n_candidates = survivors(n_candidates) + (place == 0)
    return tuple(found)


def survivors(n_candidates: int) -> int:
    """Return how many candidates reach the next rung, the own settings among them."""
    return max(2, n_candidates // 2)


def seconds(planned: Sequence[Rung], lengths: Sequence[float], of_one: float, of_fold: float = 0.0) -> float:
    """Return the time that rungs take from now on: the first candidate has trained on the first fold.

    Args:
        planned: the rungs.
        lengths: of a training of each candidate, in trainings of the first one.
        of_one: seconds of one training of the first candidate.
        of_fold: seconds that each further fold costs once, whatever the number of candidates.
    """
    mean_length = sum(lengths) / len(lengths)
    total = sum(lengths) - lengths[0] + mean_length  # the combination trains on the first fold, too
    for before, rung in itertools.pairwise(planned):
        total += mean_length * rung.n_candidates * (rung.n_folds - before.n_folds)
    return total * of_one + of_fold * (planned[-1].n_folds - 1)


def plan(
    epochs: Mapping[float, Sequence[int]], n_folds: int, *, of_one: float, budget: float, of_fold: float = 0.0
) -> Plan:
    """Fit rungs into a budget: with all epochs; else with fewer; else with fewer candidates, too.

    Args:
        epochs: share of SHARES -> the epochs of each candidate that differs for that share, in order.
        n_folds: of the contest.
        of_one: seconds that the first candidate took with all its epochs, on one fold.
        budget: seconds that are left.
        of_fold: seconds that each further fold costs once.
    """
    full = epochs[1.0]

    def attempt(share: float, number: int) -> Plan:
        lengths = [count / full[0] for count in epochs[share][:number]]
        planned = rungs(number, n_folds)
        first = lengths[0] if share < 1 else 0.0  # the first candidate's training had all its epochs: once more
        return Plan(share, planned, seconds(planned, lengths, of_one, of_fold) + first * of_one)

    attempts = [attempt(share, len(epochs[share])) for share in SHARES]
    attempts += [attempt(SHARES[-1], number) for number in range(len(epochs[SHARES[-1]]) - 1, FEWEST - 1, -1)]
    shortest = min(found.seconds for found in attempts)
    return next((found for found in attempts if found.seconds <= budget), Plan(SHARES[-1], (), shortest))


def best(costs: Costs, folds: Sequence[int], weights: Sequence[float]) -> str:
    """Return the candidate with the smallest cost on folds; the first of equals.

    Args:
        costs: of each candidate on all folds that it trained on.
        folds: positions.
        weights: (folds,) images of each fold.
    """
    return min(costs, key=lambda name: mean(costs[name], folds, weights))


def mean(of_folds: Sequence[float], folds: Sequence[int], weights: Sequence[float]) -> float:
    """Return the mean cost over folds, weighted by their images."""
    total = sum(weights[fold] for fold in folds)
    return math.fsum(of_folds[fold] * weights[fold] for fold in folds) / total


@dataclass(frozen=True)
class Optimism:
    """How much the best of several candidates gains over the own settings, where it was chosen and where it was not.

    Attributes:
        name: of the candidate that the choosing folds chose.
        chosen_on: positions of the folds that chose it.
        on_chosen: its gain on them.
        fresh: positions of the folds that did not.
        on_fresh: its gain on them.
    """

    name: str
    chosen_on: tuple[int, ...]
    on_chosen: float
    fresh: tuple[int, ...]
    on_fresh: float

    @property
    def excess(self) -> float:
        """Return how much larger the gain is where the choice was made."""
        return self.on_chosen - self.on_fresh


def optimism(costs: Costs, own: str, n_choosing: int, weights: Sequence[float]) -> Optimism | None:
    """Compare the gain of the choice on the folds that made it with its gain on the others; None without others.

    Gains over the own settings, not costs, are compared, because one fold is harder than another.

    Args:
        costs: of the candidates that trained on all folds.
        own: the name of the own settings, one of them.
        n_choosing: the first so many folds decided which candidates train on the others.
        weights: (folds,) images of each fold.
    """
    chosen_on, fresh = tuple(range(n_choosing)), tuple(range(n_choosing, len(weights)))
    if not fresh:
        return None
    name = best(costs, chosen_on, weights)
    gains = [
        mean(costs[own], folds, weights) - mean(costs[name], folds, weights) if name != own else 0.0
        for folds in (chosen_on, fresh)
    ]
    return Optimism(name, chosen_on, gains[0], fresh, gains[1])
