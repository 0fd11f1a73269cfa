"""Compare rules that choose a member's TTA: `python -m docs.measure.simulate_tta`.

Every case draws members whose image sizes differ in a known way. Sizes share most of their noise, because some images
are hard at every size. Four rules choose a TTA for each member (`RULES`), and what they choose is scored on 100,000
other images, each with the temperature that was fitted on the member's own images. The table is in
docs/honest_scores.md. Its columns:

- gains of size 1 and of the average of all sizes, true, in nats of log loss
- how often today's rule (the smallest cost) stays at the training size, chooses one other size, chooses an average, and
  chooses a TTA with the last size
- the default TTA's mean true cost (EvaluationSet.cost: nats of log loss, of macro F1 with every class at the same
  weight; minus the AUC), and each rule's mean gain over it in thousandths, with its standard error
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from podium.core import cli, seeding
from podium.ensembling import tta_selection
from podium.ensembling.tta_selection import OofByTta, TtaCandidate
from podium.folds.outer_folds import deal
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets
from podium.predictions.tta import Tta
from podium.scoring import intervals, scores
from podium.scoring.comparison import BETTER
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


HEAD = (
    *(
        "case",
        "gain of size 1",
        "gain of the average",
        "stays, %",
        "one size, %",
        "average, %",
        "with the last size, %",
    ),
    *("default's cost", "gain: test at 5%", "gain: smallest cost", "gain: smallest cost with a margin"),
)
MARGIN = 0.5  # standard errors of the gain that a candidate must have over the default


def main(*words: str) -> None:
    """Print a row per case."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.simulate_tta", description="Rules of choosing a TTA.")
    parser.add_argument("--draws", type=int, default=1000, help="members per case")
    draws = parser.parse_args(words).draws
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    for case in CASES:
        print(f"| {case.name} | {' | '.join(row(case, draws))} |", flush=True)


def row(case: TtaCase, draws: int) -> list[str]:
    """Return the cells of a case but its name."""
    drawn = [choose(case, number) for number in range(draws)]
    ttas = [chosen["smallest cost"].tta for chosen in drawn]
    kinds = [0 if tta.image_sizes == (TRAINING_SIZE,) else 1 if len(tta.image_sizes) == 1 else 2 for tta in ttas]
    last = TRAINING_SIZE + len(case.skills) - 1
    counts = [*(kinds.count(kind) for kind in range(3)), sum(last in tta.image_sizes for tta in ttas)]
    costs = {rule: np.array([true_cost(case, chosen[rule]) for chosen in drawn]) for rule in RULES}
    default = costs.pop("default")
    return [
        *(f"{gain:+.4f}" for gain in true_gains(case)),
        *(f"{100 * count / draws:.1f}" for count in counts),
        f"{default.mean():.4f}",
        *(_mean(1000 * (default - of_rule)) for of_rule in costs.values()),
    ]


def true_gains(case: TtaCase) -> tuple[float, float]:
    """Return the gain in log loss of size 1, and of the average of all sizes, over the training size."""
    targets, probs = _population(case.skills, case.own_noise)
    losses = []
    for of_tta in (probs[0], probs[1], _averaged(probs)):
        logs = calibration.log_probs(of_tta)
        losses.append(calibration.losses(logs, targets, calibration.fit_temperature(logs, targets)).mean())
    return float(losses[0] - losses[1]), float(losses[0] - losses[2])


def choose(case: TtaCase, number: int) -> dict[str, TtaCandidate]:
    """Draw a member, and return what each of RULES chooses for it."""
    member = drawn_member(case, number)
    candidates = tta_selection.report(member)
    return {rule: choice(member, candidates) for rule, choice in RULES.items()}


def drawn_member(case: TtaCase, number: int) -> OofByTta:
    """Draw a member; the same number gives the same member."""
    rng = np.random.default_rng(seeding.derive("ttas", case.name, case.n_images, number))
    targets, logs = _predictions(case, case.n_images, case.group_size, rng)
    default, *others = logs
    images = _evaluation_set(case, targets, np.arange(len(targets)) // case.group_size)
    return OofByTta(default, tuple(others), logs, images)


def true_cost(case: TtaCase, chosen: TtaCandidate) -> float:
    """Return a choice's cost on the population, at its own temperature."""
    targets, probs = _population(case.skills, case.own_noise)
    singles = [probs[size - TRAINING_SIZE] for size in chosen.tta.image_sizes]
    logs = calibration.log_probs(_averaged(singles))
    images = EvaluationSet(targets, targets, targets, targets, scores.SCORES[case.metric])
    return images.cost(np.arange(len(targets)), chosen.calibration.apply(logs, None))


def _default(member: OofByTta, candidates: Sequence[TtaCandidate]) -> TtaCandidate:  # noqa: ARG001
    return candidates[0]


def _tested(member: OofByTta, candidates: Sequence[TtaCandidate]) -> TtaCandidate:  # noqa: ARG001
    better = [one for one in candidates[1:] if one.compared is not None and one.compared.verdict == BETTER]
    return min(better or candidates[:1], key=lambda one: one.cost)


def _smallest(member: OofByTta, candidates: Sequence[TtaCandidate]) -> TtaCandidate:  # noqa: ARG001
    return min(candidates, key=lambda one: one.cost)


def _with_margin(member: OofByTta, candidates: Sequence[TtaCandidate]) -> TtaCandidate:
    default, best = candidates[0], _smallest(member, candidates)
    return best if default.cost - best.cost > MARGIN * _error(member, default, best) else default


RULES = {
    "default": _default,
    "test": _tested,  # the smallest cost among those that the comparison with the default calls better
    "smallest cost": _smallest,  # as tta_selection.choose_tta
    "margin": _with_margin,
}


def _error(member: OofByTta, base: TtaCandidate, candidate: TtaCandidate) -> float:
    """Return the standard error of a gain in cost, by a bootstrap of groups."""
    images = member.images
    probs = [one.calibration.apply(member.at(one.tta), None) for one in (base, candidate)]
    draws = intervals.group_draws(images.groups)
    if images.metric.chosen_by == "itself":
        drawn = [images.metric.weighted(images.targets, one, draws) for one in probs]
        return float((drawn[1] - drawn[0]).std(ddof=1))
    weights = np.ones(len(images.targets))
    if images.metric.chosen_by == "balanced_log_loss":
        counts = np.bincount(images.targets, minlength=N_CLASSES)
        weights = 1 / counts[images.targets]
        probs = [np.asarray(one / np.maximum(counts, 1), np.float32) for one in probs]
    gains = scores.log_losses(images.targets, probs[0]) - scores.log_losses(images.targets, probs[1])
    return float(((gains * weights) @ draws / (weights @ draws)).std(ddof=1))


def _averaged(probs: Sequence[Probs]) -> Probs:
    mean: Probs = np.mean(np.stack(probs), axis=0, dtype=np.float32)
    return mean


def _mean(values: NDArray[np.float64]) -> str:
    return f"{values.mean():+.2f} ± {values.std(ddof=1) / math.sqrt(len(values)):.2f}"


@lru_cache(maxsize=1)
def _population(skills: tuple[float, ...], own_noise: tuple[float, ...]) -> tuple[Targets, list[Probs]]:
    rng = np.random.default_rng(seeding.derive("gains", *map(str, skills)))
    targets, logs = _predictions(TtaCase("", skills, own_noise), POPULATION, 1, rng)
    return targets, [np.exp(of_size) for of_size in logs.values()]


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
