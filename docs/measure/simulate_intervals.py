"""Simulate the coverage of score intervals for images in groups: `python -m docs.measure.simulate_intervals`.

Each draw is one model's predictions, without any model selection. For accuracy the script varies intervals.DOUBT. For
log loss it compares the plain t interval with the interval by Hall's correction. The table is in docs/honest_scores.md.
"""

import argparse
from dataclasses import dataclass, replace
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from podium.core import cli, seeding
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets
from podium.scoring import intervals, scores

DOUBTS = (1e-9, 0.25, 0.5, 1.0)
POPULATION = 300_000


@dataclass(frozen=True)
class IntervalCase:
    """Images in groups of one class each; `correlation` is the share of the noise's variance that a group shares."""

    n_classes: int
    skill: float
    n_images: int
    group_size: int
    correlation: float

    @property
    def seed(self) -> str:
        """Return the text that seeds the draws: another text would change the numbers in docs/honest_scores.md."""
        return repr(self).replace(type(self).__name__, "Case", 1)


CASES = tuple(
    IntervalCase(n_classes, skill, *sizes)
    for n_classes, skill in ((3, 1.6), (3, 2.8), (3, 3.4), (2, 2.2))
    for sizes in ((200, 1, 0.0), (200, 4, 0.6), (700, 1, 0.0), (700, 5, 0.3), (700, 5, 0.95), (600, 10, 0.6))
)


def main(*words: str) -> None:
    """Print a row per case."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.measure.simulate_intervals", description="Coverage of intervals."
    )
    parser.add_argument("--draws", type=int, default=500)
    draws = parser.parse_args(words).draws
    doubts = " | ".join(f"doubt {doubt:.2g}" for doubt in (0, *DOUBTS[1:]))
    print(f"| accuracy | images | group size | group's share | {doubts} | log loss, t | log loss, Hall |")
    print(f"|{' --- |' * (6 + len(DOUBTS))}")
    for case in CASES:
        truth = _true_values(case)
        coverage = np.mean([covered(case, truth, number) for number in range(draws)], axis=0)
        cells = [
            f"{truth[0]:.3f}",
            case.n_images,
            case.group_size,
            case.correlation,
            *(f"{100 * x:.1f}" for x in coverage),
        ]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def covered(case: IntervalCase, truth: tuple[float, float], number: int) -> list[bool]:
    """Return which intervals contain the true value: accuracy with each doubt, log loss by plain t and by Hall."""
    rng = np.random.default_rng(seeding.derive("intervals", case.seed, number))
    targets, probs, groups = _drawn(case, rng)
    ends = []
    for doubt in DOUBTS:
        with mock.patch.object(intervals, "DOUBT", doubt):
            ends.append(intervals.score_interval(scores.SCORES["accuracy"], targets, probs, groups))
    ends.append(_t_interval(scores.log_losses(targets, probs), groups))
    ends.append(intervals.score_interval(scores.SCORES["log_loss"], targets, probs, groups))
    truths = [truth[0]] * len(DOUBTS) + [truth[1]] * 2
    return [low <= value <= high for (low, high), value in zip(ends, truths, strict=True)]


def _t_interval(values: NDArray[np.float64], groups: NDArray[np.int64]) -> tuple[float, float]:
    """Return the t interval of a mean, with errors clustered by group."""
    sums = np.bincount(groups, values - values.mean())
    error = np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(values)
    half = stats.t.ppf(0.975, len(sums) - 1) * error
    return float(values.mean() - half), float(values.mean() + half)


def _true_values(case: IntervalCase) -> tuple[float, float]:
    alone = replace(case, n_images=POPULATION, group_size=1, correlation=0.0)
    targets, probs, _ = _drawn(
        alone, np.random.default_rng(seeding.derive("population", case.n_classes, str(case.skill)))
    )
    return scores.accuracy_score(targets, probs), scores.log_loss(targets, probs)


def _drawn(case: IntervalCase, rng: np.random.Generator) -> tuple[Targets, Probs, NDArray[np.int64]]:
    n_groups = case.n_images // case.group_size
    groups = np.repeat(np.arange(n_groups), case.group_size)
    targets = rng.integers(0, case.n_classes, n_groups)[groups]
    common = rng.normal(size=(n_groups, case.n_classes))[groups]
    noise = np.sqrt(case.correlation) * common + np.sqrt(1 - case.correlation) * rng.normal(size=common.shape)
    noise[np.arange(len(targets)), targets] += case.skill
    return targets, calibration.scaled((case.skill * noise).astype(np.float32), 1.0), groups


if __name__ == "__main__":
    cli.run(main)
