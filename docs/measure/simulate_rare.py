"""Simulate the coverage of score intervals where a class is rare: `python -m docs.measure.simulate_rare`.

Each draw is one model's predictions of ungrouped images, without any model selection. The script compares the bootstrap
interval of each metric with the used interval, which is at least as wide as the classes' own (intervals.FEW). The
table is in docs/honest_scores.md.
"""

import argparse
from dataclasses import dataclass
from unittest import mock

import numpy as np

from podium.core import cli, seeding
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets
from podium.scoring import intervals, scores

METRICS = ("balanced_accuracy", "macro_f1", "mcc", "kappa", "roc_auc", "average_precision")
POPULATION = 200  # times the number of images of a case


@dataclass(frozen=True)
class RareCase:
    """The number of images per class, and what is added to the true class's logit, over noise of variance 1."""

    counts: tuple[int, ...]
    skill: float

    @property
    def seed(self) -> str:
        """Return the text that seeds the draws: another text would change the numbers in docs/honest_scores.md."""
        return repr(self).replace(type(self).__name__, "Case", 1)


CASES = (
    RareCase((150, 150), 1.3),
    RareCase((300, 30), 1.8),
    RareCase((300, 10), 1.8),
    RareCase((300, 5), 1.8),
    RareCase((1990, 10), 2.5),
    RareCase((200, 200, 8), 2.0),
)


def main(*words: str) -> None:
    """Print a row per case and metric."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.measure.simulate_rare", description="Coverage with rare classes."
    )
    parser.add_argument("--draws", type=int, default=500)
    draws = parser.parse_args(words).draws
    print("| images per class | metric | truth | bootstrap alone | used |\n| --- | --- | --- | --- | --- |")
    for case in CASES:
        truths = _true_values(case)
        coverage = np.mean([covered(case, truths, number) for number in range(draws)], axis=0)
        for metric, truth, (alone, used) in zip(METRICS, truths, coverage, strict=True):
            cells = " + ".join(map(str, case.counts)), metric, f"{truth:.3f}", f"{100 * alone:.1f}", f"{100 * used:.1f}"
            print(f"| {' | '.join(cells)} |", flush=True)


def covered(case: RareCase, truths: list[float], number: int) -> list[list[bool]]:
    """Return for each metric whether the bootstrap interval and the used interval contain the true value."""
    targets, probs = _drawn(case, 1, np.random.default_rng(seeding.derive("rare", case.seed, number)))
    groups, found = np.arange(len(targets)), []
    for metric, truth in zip(METRICS, truths, strict=True):
        ends = []
        for few in (0, intervals.FEW):
            with mock.patch.object(intervals, "FEW", few):
                ends.append(intervals.score_interval(scores.SCORES[metric], targets, probs, groups))
        found.append([low <= truth <= high for low, high in ends])
    return found


def _true_values(case: RareCase) -> list[float]:
    targets, probs = _drawn(case, POPULATION, np.random.default_rng(seeding.derive("rare", case.seed)))
    return [scores.SCORES[metric].function(targets, probs) for metric in METRICS]


def _drawn(case: RareCase, times: int, rng: np.random.Generator) -> tuple[Targets, Probs]:
    targets = np.repeat(np.arange(len(case.counts)), times * np.array(case.counts))
    logits = rng.normal(size=(len(targets), len(case.counts)))
    logits[np.arange(len(targets)), targets] += case.skill
    return targets, calibration.scaled(logits.astype(np.float32), 1.0)


if __name__ == "__main__":
    cli.run(main)
