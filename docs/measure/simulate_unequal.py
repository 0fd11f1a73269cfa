"""Simulate the coverage of intervals for groups of unequal size: `python -m docs.measure.simulate_unequal`.

Patients, videos and cameras have different numbers of images. Each draw is one or two models' predictions of groups
of log-normal size, without any model selection. The script prints the coverage of the interval of one score, by the
rules in use and by those before 2026-11-28 (groups - 1 degrees of freedom, no jackknife), and of the interval of a
paired difference. `--wild` adds the wild cluster bootstrap's test of the true log loss. The tables are in
docs/honest_scores.md.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from podium.core import cli, seeding
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets
from podium.scoring import intervals, scores

Groups = NDArray[np.int64]

N_CLASSES = 3
MEAN_SIZE = 15  # images of a group
POPULATION = 300_000
METRICS = ("accuracy", "log_loss", "balanced_accuracy", "macro_f1", "roc_auc")
BETTER = 1.1  # the second model's skill, in those of the first one


@dataclass(frozen=True)
class UnequalCase:
    """Groups of one class each, whose sizes' logarithms have the standard deviation `spread`.

    Attributes:
        skill: what is added to the true class's logit, over noise of variance 1.
        correlation: share of the noise's variance that a group shares.
    """

    n_groups: int
    spread: float
    skill: float
    correlation: float


CASES = tuple(
    UnequalCase(n_groups, spread, skill, correlation)
    for n_groups, spread in ((20, 0.0), (20, 0.5), (20, 1.0), (20, 1.5), (40, 0.0), (40, 1.0), (100, 1.0))
    for skill in (1.6, 2.2, 2.8)
    for correlation in (0.3, 0.6, 0.9)
)


def main(*words: str) -> None:
    """Print a row per kind of groups and metric: the lowest, mean and highest coverage over the cases."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.simulate_unequal", description="Unequal groups.")
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--metrics", nargs="*", default=METRICS, choices=METRICS)
    parser.add_argument("--wild", type=int, default=0, help="draws of a wild cluster bootstrap; 0: none")
    asked = parser.parse_args(words)
    kinds = list(dict.fromkeys((case.n_groups, case.spread) for case in CASES))
    print("| groups | spread | metric | one score, before | one score | a difference | wild bootstrap |")
    print(f"|{' --- |' * 7}")
    for n_groups, spread in kinds:
        cases = [case for case in CASES if (case.n_groups, case.spread) == (n_groups, spread)]
        for name in asked.metrics:
            found = np.array([coverage(case, name, asked.draws, asked.wild) for case in cases])
            cells = [" / ".join(f"{100 * x:.1f}" for x in (row.min(), row.mean(), row.max())) for row in found.T]
            print(f"| {n_groups} | {spread:g} | {name} | {' | '.join(cells)} |", flush=True)


def coverage(case: UnequalCase, name: str, draws: int, wild: int = 0) -> list[float]:
    """Return the shares of draws whose intervals hold the truth: before, now, of a difference, wild bootstrap."""
    metric = scores.METRICS[name]
    truths = _true_values(case.skill, metric)
    found = [covered(case, metric, truths, number, wild) for number in range(draws)]
    return [float(share) for share in np.mean(found, axis=0)]


def covered(
    case: UnequalCase, metric: scores.Metric, truths: tuple[float, float], number: int, wild: int = 0
) -> list[bool | float]:
    """Return which intervals of a draw hold the true values; NaN of a wild bootstrap that was not asked for.

    Args:
        case: the groups.
        metric: of the scores.
        truths: the true score of the first model, and the true gain of the second.
        number: of the draw.
        wild: draws of the wild cluster bootstrap.
    """
    rng = np.random.default_rng(seeding.derive("unequal", repr(case), number))
    targets, (first, second), groups = drawn(case, rng)
    with _before():
        before = intervals.score_interval(metric, targets, first, groups)
    now = intervals.score_interval(metric, targets, first, groups)
    gain = _evidence(metric, targets, first, second, groups)
    rejected = np.nan
    if wild and metric.name == scores.LOG_LOSS:
        rejected = wild_p_value(scores.log_losses(targets, first) - truths[0], groups, wild, rng)
    return [
        before[0] <= truths[0] <= before[1],
        now[0] <= truths[0] <= now[1],
        gain.low <= truths[1] <= gain.high,
        rejected if np.isnan(rejected) else rejected >= intervals.ALPHA,
    ]


def drawn(case: UnequalCase, rng: np.random.Generator) -> tuple[Targets, list[Probs], Groups]:
    """Draw the targets, two models' probabilities and the groups; the models share half of their noise's variance."""
    sizes = rng.lognormal(np.log(MEAN_SIZE) - case.spread**2 / 2, case.spread, case.n_groups)
    groups = np.repeat(np.arange(case.n_groups), np.maximum(np.round(sizes), 1).astype(np.int64))
    return (*_predicted(case, groups, rng), groups)


def _predicted(case: UnequalCase, groups: Groups, rng: np.random.Generator) -> tuple[Targets, list[Probs]]:
    n_groups = int(groups.max()) + 1
    targets = rng.integers(0, N_CLASSES, n_groups)[groups]

    def noise() -> NDArray[np.float64]:
        common = rng.normal(size=(n_groups, N_CLASSES))[groups]
        own = rng.normal(size=common.shape)
        return np.asarray(np.sqrt(case.correlation) * common + np.sqrt(1 - case.correlation) * own)

    shared, found = noise(), []
    for skill in (case.skill, case.skill * BETTER):
        logits = np.sqrt(0.5) * shared + np.sqrt(0.5) * noise()
        logits[np.arange(len(targets)), targets] += skill
        found.append(calibration.scaled((case.skill * logits).astype(np.float32), 1.0))
    return targets, found


@lru_cache(maxsize=20)
def _true_values(skill: float, metric: scores.Metric) -> tuple[float, float]:
    """Return the first model's true score, and the second one's true gain, as in Metric.utility."""
    targets, probs = _population(skill)
    first, second = (metric.utility(targets, one) for one in probs)
    return metric.function(targets, probs[0]), second - first


@lru_cache(maxsize=3)
def _population(skill: float) -> tuple[Targets, list[Probs]]:
    rng = np.random.default_rng(seeding.derive("unequal", "population", str(skill)))
    return _predicted(UnequalCase(POPULATION, 0.0, skill, 0.0), np.arange(POPULATION), rng)


@contextmanager
def _before() -> Iterator[None]:
    """Take intervals as they were: groups - 1 degrees of freedom, and no jackknife."""
    with (
        mock.patch.object(intervals, "_freedom", lambda sizes, _: float(max(len(sizes) - 1, 1))),
        mock.patch.object(intervals, "_left_out", lambda sizes: np.ones(len(sizes))),
    ):
        yield


def wild_p_value(residuals: NDArray[np.float64], groups: Groups, draws: int, rng: np.random.Generator) -> float:
    """Return the two-sided p of a mean of 0 by a wild bootstrap of groups: signs are drawn, the null is imposed.

    Source: Cameron, Gelbach & Miller 2008, Review of Economics and Statistics 90(3).
    """
    sums, sizes = (np.asarray(np.bincount(groups, of), np.float64) for of in (residuals, np.ones(len(groups))))

    def t_values(of_groups: NDArray[np.float64]) -> NDArray[np.float64]:
        means = of_groups.sum(axis=-1, keepdims=True) / len(residuals)
        errors = np.sqrt(((of_groups - means * sizes) ** 2).sum(axis=-1))
        return np.asarray(np.abs(of_groups.sum(axis=-1)) / errors)

    signs = rng.choice([-1.0, 1.0], size=(draws, len(sums)))
    return float((1 + (t_values(signs * sums) >= t_values(sums)).sum()) / (draws + 1))


def _evidence(
    metric: scores.Metric, targets: Targets, first: Probs, second: Probs, groups: Groups
) -> intervals.Evidence:
    """Compare as comparison.compare does, at 95%."""
    if metric.name == scores.LOG_LOSS:
        return intervals.mean_evidence(scores.log_losses(targets, first) - scores.log_losses(targets, second), groups)
    if metric.is_share_of_images:
        hits = [np.asarray(probs.argmax(axis=1) == targets, np.float64) for probs in (first, second)]
        found = intervals.mean_evidence(hits[1] - hits[0], groups)
        return intervals.no_difference_seen(groups) if found == intervals.NOTHING else found
    return intervals.score_evidence(metric, targets, base=first, candidate=second, groups=groups)


if __name__ == "__main__":
    cli.run(main)
