"""Simulate the coverage of intervals for groups of unequal size: `python -m docs.measure.simulate_unequal`.

Patients, videos and cameras have different numbers of images. Each draw is two models' predictions of images in groups,
without any model selection. The script prints the coverage of the interval of the first model's score by several rules
(RULES), and of the interval of the difference, as the lowest, mean and highest over cases. `--wild` adds the wild
cluster bootstrap's test of the true log loss. The tables are in docs/honest_scores.md.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
POPULATION = 300_000
METRICS = ("accuracy", "log_loss", "balanced_accuracy", "macro_f1", "roc_auc")
BETTER = 1.1  # the second model's skill, in those of the first one


@dataclass(frozen=True)
class UnequalCase:
    """Groups of one class each, whose sizes' logarithms have the standard deviation `spread`; or single images.

    Attributes:
        n_groups: besides the large one.
        mean_size: images of a group.
        large: images of one further group; 0: there is none.
        skill: what is added to the true class's logit, over noise of variance 1.
        correlation: share of the noise's variance that a group shares.
    """

    n_groups: int
    mean_size: int
    spread: float
    large: int
    skill: float
    correlation: float

    @property
    def kind(self) -> str:
        """Return the groups in words."""
        if self.large:
            return f"{self.n_groups} single images, one group of {self.large}"
        return f"{self.n_groups} groups, sigma {self.spread:g}" if self.spread else f"{self.n_groups} equal groups"


CASES = tuple(
    UnequalCase(*groups, skill, correlation)
    for groups in (
        *((20, 15, spread, 0) for spread in (0.0, 0.5, 1.0, 1.5)),
        *((n_groups, 15, 1.0, 0) for n_groups in (40, 100)),
        (450, 1, 0.0, 50),
    )
    for skill in (1.6, 2.2, 2.8)
    for correlation in (0.3, 0.6, 0.9)
)


KINDS = list(dict.fromkeys(case.kind for case in CASES))


def main(*words: str) -> None:
    """Print a row per kind of groups and metric: the lowest, mean and highest coverage over the cases."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.simulate_unequal", description="Unequal groups.")
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--metrics", nargs="*", default=METRICS, choices=METRICS)
    parser.add_argument("--rules", nargs="*", default=list(RULES), choices=list(RULES))
    parser.add_argument("--only", nargs="*", default=KINDS, choices=KINDS, help="kinds of groups")
    parser.add_argument("--wild", type=int, default=0, help="draws of a wild bootstrap, of log_loss; 0: none")
    asked = parser.parse_args(words)
    head = ["groups", "metric", *asked.rules, "difference", *(["wild bootstrap"] if asked.wild else [])]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for kind in asked.only:
        cases = [case for case in CASES if case.kind == kind]
        for name in asked.metrics:
            found = np.array([coverage(case, name, asked.rules, asked.draws, asked.wild) for case in cases])
            cells = [" / ".join(f"{100 * x:.1f}" for x in (row.min(), row.mean(), row.max())) for row in found.T]
            cells += [""] * (len(head) - 2 - len(cells))
            print(f"| {kind} | {name} | {' | '.join(cells)} |", flush=True)


def coverage(case: UnequalCase, name: str, rules: Sequence[str], draws: int, wild: int = 0) -> list[float]:
    """Return the shares of draws whose intervals hold the truth, in the order of the table's columns."""
    metric = scores.METRICS[name]
    found = [covered(case, metric, rules, number, wild) for number in range(draws)]
    return [float(share) for share in np.mean(found, axis=0)]


def covered(case: UnequalCase, metric: scores.Metric, rules: Sequence[str], number: int, wild: int = 0) -> list[bool]:
    """Return which intervals of a draw hold the true value: of each rule, the difference's, the wild bootstrap's.

    Args:
        case: the groups.
        metric: of the scores.
        rules: names in RULES.
        number: of the draw.
        wild: draws of the wild cluster bootstrap, which tests a log loss alone; 0: none.
    """
    rng = np.random.default_rng(seeding.derive("unequal", repr(case), number))
    targets, (first, second), groups = drawn(case, rng)
    truth, true_gain = _true_values(case.skill, metric)
    ends = []
    for rule in rules:
        with RULES[rule]():
            ends.append(intervals.score_interval(metric, targets, first, groups))
    gain = _evidence(metric, targets, first, second, groups)
    held = [*(low <= truth <= high for low, high in ends), gain.low <= true_gain <= gain.high]
    if wild and metric.name == scores.LOG_LOSS:
        residuals = scores.log_losses(targets, first) - truth
        held.append(wild_p_value(residuals, groups, wild, rng) >= intervals.ALPHA)
    return held


def drawn(case: UnequalCase, rng: np.random.Generator) -> tuple[Targets, list[Probs], Groups]:
    """Draw the targets, two models' probabilities and the groups; the models share half of their noise's variance."""
    sizes = rng.lognormal(np.log(case.mean_size) - case.spread**2 / 2, case.spread, case.n_groups)
    sizes = np.append(np.maximum(np.round(sizes), 1), [case.large] if case.large else [])
    groups = np.repeat(np.arange(len(sizes)), sizes.astype(np.int64))
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
    return _predicted(UnequalCase(POPULATION, 1, 0.0, 0, skill, 0.0), np.arange(POPULATION), rng)


@contextmanager
def _before() -> Iterator[None]:
    """Groups - 1 degrees of freedom, and no jackknife."""
    with (
        _freedom(lambda sizes, _: float(max(len(sizes) - 1, 1))),
        mock.patch.object(intervals, "_left_out", lambda sizes: np.ones(len(sizes))),
    ):
        yield


def _kish(sizes: NDArray[np.int64], _: float) -> float:
    """Return the effective number of groups - 1 (Kish 1965, Survey Sampling)."""
    return float(max(sizes.sum() ** 2 / (sizes**2).sum() - 1, 1))


def _together(sizes: NDArray[np.int64], _: float) -> float:
    """Return the degrees of freedom if all images of a group stand and fall together."""
    return DEFAULT_FREEDOM(sizes, 1.0)


@contextmanager
def _freedom(of_groups: Callable[[NDArray[np.int64], float], float]) -> Iterator[None]:
    with mock.patch.object(intervals, "_freedom", of_groups):
        yield


DEFAULT_FREEDOM = intervals._freedom
RULES: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "before": _before,  # 2026-11-28
    "Kish": lambda: _freedom(_kish),
    "together": lambda: _freedom(_together),
    "used": nullcontext,
}


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
