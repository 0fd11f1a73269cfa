"""Do members change their image size for nothing? Simulated members: `python -m docs.measure.simulate_tta [--draws N]`.

Every case draws members whose sizes differ in a planted way, and counts what resolution.decide takes. Sizes share
most of their noise, as an image's true difficulty; the true gains, in nats of log loss, are measured on 100,000 others.
The table is in docs/honest_scores.md.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from podium.core import cli, seeding
from podium.ensembling import tta_selection
from podium.ensembling.tta_selection import OofByTta
from podium.folds.outer_folds import deal
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets
from podium.predictions.tta import Tta
from podium.scoring import scores
from podium.scoring.evaluation_set import EvaluationSet, Indices

VIEWS = ("identity",)
N_CLASSES = 3
SIZES = 100  # the training size in pixels; the others follow by one: only their order matters
POPULATION = 100_000


@dataclass(frozen=True)
class Case:
    """Skills by size, the training size first, and what sizes do not share: the standard deviation of their noise."""

    name: str
    skills: tuple[float, ...]
    own_noise: tuple[float, ...]
    n_images: int = 700
    group_size: int = 1
    metric: str = "accuracy"


TEN = ((1.5,) * 11, (0.3,) * 11)
CASES = (
    Case("ten that do nothing", *TEN),
    Case("the same, 200 images", *TEN, n_images=200),
    Case("the same, groups of 5", *TEN, group_size=5),
    Case("the same, nearly perfect, 200 images", (3.0,) * 11, (0.3,) * 11, n_images=200),
    Case("one noisier, but as good", (1.5, 1.7537), (0.3, 0.7)),  # the same ratio of skill to noise
    Case("the same, 200 images", (1.5, 1.7537), (0.3, 0.7), n_images=200),
    Case("two that cost what averaging gains", (1.5, 1.437, 1.437), (0.3, 0.3, 0.3)),
    Case("AUC, three that do nothing, 200 images", (1.5,) * 4, (0.3,) * 4, n_images=200, metric="roc_auc"),
    Case("macro F1, three that do nothing, 200 images", (1.5,) * 4, (0.3,) * 4, n_images=200, metric="macro_f1"),
    Case("one that helps", (1.5, 1.7), (0.3, 0.3)),
    Case("one that collapses", (1.5, 1.2), (0.3, 0.3)),
    Case("one that helps, one that collapses", (1.5, 1.7, 1.1), (0.3, 0.3, 0.3)),
)


def main(*words: str) -> None:
    """Print how often each case leaves the training size, and for what."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.simulate_tta", description="Sizes taken for nothing.")
    parser.add_argument("--draws", type=int, default=1000, help="members per case")
    draws = parser.parse_args(words).draws
    print(
        "| case | gain of size 1 | gain of the average | stays, % | one size, % | average, % | with the last size, % |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        print(f"| {case.name} | {' | '.join(row(case, draws))} |", flush=True)


def row(case: Case, draws: int) -> list[str]:
    """Return the cells of a case: true gains in nats, and what was taken in how many of a hundred draws."""
    ttas = [taken(case, number) for number in range(draws)]
    kinds = [0 if tta == usual else 1 if len(tta.image_sizes) == 1 else 2 for usual, tta in ttas]
    last = SIZES + len(case.skills) - 1
    with_last = sum(last in tta.image_sizes for _, tta in ttas)
    counts = [*(kinds.count(kind) for kind in range(3)), with_last]
    return [*(f"{gain:+.4f}" for gain in true_gains(case)), *(f"{100 * count / draws:.1f}" for count in counts)]


def true_gains(case: Case) -> tuple[float, float]:
    """Return what size 1, and the average of all, gain in log loss over the training size."""
    targets, logs = _said(case, POPULATION, 1, np.random.default_rng(seeding.derive("gains", *map(str, case.skills))))
    usual, first, *others = logs
    member = OofByTta(usual, (first, *others), logs, _scored(case, targets, np.arange(POPULATION)))
    average = Tta(tuple(tta.image_sizes[0] for tta in (usual, first, *others)), VIEWS)
    losses = [
        calibration.losses(member.at(tta), targets, member.temperature(tta, ())).mean()
        for tta in (usual, first, average)
    ]
    return float(losses[0] - losses[1]), float(losses[0] - losses[2])


def taken(case: Case, number: int) -> tuple[Tta, Tta]:
    """Draw a member and return its usual look and the one that is taken."""
    rng = np.random.default_rng(seeding.derive("ttas", case.name, case.n_images, number))
    targets, logs = _said(case, case.n_images, case.group_size, rng)
    usual, *others = logs
    scored = _scored(case, targets, np.arange(len(targets)) // case.group_size)
    return usual, tta_selection.decide(OofByTta(usual, tuple(others), logs, scored)).tta


def _said(case: Case, n_images: int, group_size: int, rng: np.random.Generator) -> tuple[Targets, dict[Tta, Probs]]:
    """Draw targets, and log probabilities at every size; images of a group are one scene with noise of its own."""
    n_groups = n_images // group_size
    targets = np.repeat(rng.integers(0, N_CLASSES, n_groups), group_size)
    shape = (n_groups * group_size, N_CLASSES)
    shared = rng.normal(size=shape)
    if group_size > 1:
        of_group = np.repeat(rng.normal(size=(n_groups, N_CLASSES)), group_size, axis=0)
        shared = np.sqrt(0.6) * of_group + np.sqrt(0.4) * shared
    logs = {}
    for index, (skill, noise) in enumerate(zip(case.skills, case.own_noise, strict=True)):
        logits = shared + noise * rng.normal(size=shape) + skill * np.eye(N_CLASSES)[targets]
        probs = calibration.scaled((2 * logits).astype(np.float32), 1.0)
        logs[Tta((SIZES + index,), VIEWS)] = calibration.log_probs(probs)
    return targets, logs


def _scored(case: Case, targets: Targets, groups: Indices) -> EvaluationSet:
    folds = groups % 5
    return EvaluationSet(targets, folds, groups, deal(folds, groups, targets), scores.SCORES[case.metric])


if __name__ == "__main__":
    cli.run(main)
