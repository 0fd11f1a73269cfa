"""Simulate how often members leave their default TTA without a true gain: `python -m docs.measure.simulate_tta`.

Every case draws members whose image sizes differ in a known way, and counts what tta_selection.decide chooses. Sizes
share most of their noise, because some images are hard at every size. The true gains, in nats of log loss, are measured
on 100,000 other images. The table is in docs/honest_scores.md.
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

TRANSFORMS = ("identity",)
N_CLASSES = 3
TRAINING_SIZE = 100  # pixels; the other sizes are 101, 102 and so on: only their order matters
POPULATION = 100_000


@dataclass(frozen=True)
class TtaCase:
    """Skill and own noise (standard deviation, not shared with other sizes) by size, the training size first."""

    name: str
    skills: tuple[float, ...]
    own_noise: tuple[float, ...]
    n_images: int = 700
    group_size: int = 1
    metric: str = "accuracy"


TEN = ((1.5,) * 11, (0.3,) * 11)
CASES = (
    TtaCase("ten that do nothing", *TEN),
    TtaCase("the same, 200 images", *TEN, n_images=200),
    TtaCase("the same, groups of 5", *TEN, group_size=5),
    TtaCase("the same, nearly perfect, 200 images", (3.0,) * 11, (0.3,) * 11, n_images=200),
    TtaCase("one noisier, but as good", (1.5, 1.7537), (0.3, 0.7)),  # the same ratio of skill to noise
    TtaCase("the same, 200 images", (1.5, 1.7537), (0.3, 0.7), n_images=200),
    TtaCase("two that cost what averaging gains", (1.5, 1.437, 1.437), (0.3, 0.3, 0.3)),
    TtaCase("AUC, three that do nothing, 200 images", (1.5,) * 4, (0.3,) * 4, n_images=200, metric="roc_auc"),
    TtaCase("macro F1, three that do nothing, 200 images", (1.5,) * 4, (0.3,) * 4, n_images=200, metric="macro_f1"),
    TtaCase("one that helps", (1.5, 1.7), (0.3, 0.3)),
    TtaCase("one that collapses", (1.5, 1.2), (0.3, 0.3)),
    TtaCase("one that helps, one that collapses", (1.5, 1.7, 1.1), (0.3, 0.3, 0.3)),
)


def main(*words: str) -> None:
    """Print how often members of each case leave the training size, and for which TTA."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.measure.simulate_tta", description="Sizes chosen without gain."
    )
    parser.add_argument("--draws", type=int, default=1000, help="members per case")
    draws = parser.parse_args(words).draws
    print(
        "| case | gain of size 1 | gain of the average | stays, % | one size, % | average, % | with the last size, % |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        print(f"| {case.name} | {' | '.join(row(case, draws))} |", flush=True)


def row(case: TtaCase, draws: int) -> list[str]:
    """Return the cells of a case: true gains in nats, and how often each kind of TTA was chosen, in percent."""
    ttas = [drawn_choice(case, number) for number in range(draws)]
    kinds = [0 if tta == default else 1 if len(tta.image_sizes) == 1 else 2 for default, tta in ttas]
    last = TRAINING_SIZE + len(case.skills) - 1
    with_last = sum(last in tta.image_sizes for _, tta in ttas)
    counts = [*(kinds.count(kind) for kind in range(3)), with_last]
    return [*(f"{gain:+.4f}" for gain in true_gains(case)), *(f"{100 * count / draws:.1f}" for count in counts)]


def true_gains(case: TtaCase) -> tuple[float, float]:
    """Return the gain in log loss of size 1, and of the average of all sizes, over the training size."""
    targets, logs = _predictions(
        case, POPULATION, 1, np.random.default_rng(seeding.derive("gains", *map(str, case.skills)))
    )
    default, first, *others = logs
    member = OofByTta(default, (first, *others), logs, _evaluation_set(case, targets, np.arange(POPULATION)))
    average = Tta(tuple(tta.image_sizes[0] for tta in (default, first, *others)), TRANSFORMS)
    losses = [
        calibration.losses(member.at(tta), targets, member.temperature(tta, ())).mean()
        for tta in (default, first, average)
    ]
    return float(losses[0] - losses[1]), float(losses[0] - losses[2])


def drawn_choice(case: TtaCase, number: int) -> tuple[Tta, Tta]:
    """Draw a member; return its default TTA and the chosen one."""
    rng = np.random.default_rng(seeding.derive("ttas", case.name, case.n_images, number))
    targets, logs = _predictions(case, case.n_images, case.group_size, rng)
    default, *others = logs
    images = _evaluation_set(case, targets, np.arange(len(targets)) // case.group_size)
    return default, tta_selection.decide(OofByTta(default, tuple(others), logs, images)).tta


def _predictions(
    case: TtaCase, n_images: int, group_size: int, rng: np.random.Generator
) -> tuple[Targets, dict[Tta, Probs]]:
    """Draw targets, and log probabilities at every size; the images of a group share 60% of their noise's variance."""
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
        logs[Tta((TRAINING_SIZE + index,), TRANSFORMS)] = calibration.log_probs(probs)
    return targets, logs


def _evaluation_set(case: TtaCase, targets: Targets, groups: Indices) -> EvaluationSet:
    folds = groups % 5
    return EvaluationSet(targets, folds, groups, deal(folds, groups, targets), scores.SCORES[case.metric])


if __name__ == "__main__":
    cli.run(main)
