"""Simulated contests with known true scores: members' predictions out of fold, and of a large population."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from podium.core import seeding
from podium.ensembling import nested_cv
from podium.ensembling.tta_selection import OofByTta
from podium.folds.outer_folds import deal
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets, Values
from podium.predictions.tta import Tta
from podium.scoring import scores
from podium.scoring.evaluation_set import EvaluationSet, Indices

N_FOLDS = 5
TRANSFORMS = ("identity",)
MAX_POPULATION, POPULATION_CELLS = 100_000, 2_000_000  # images; images x members x sizes


@dataclass(frozen=True)
class Condition:
    """The settings of a simulated contest.

    A member's logits are its skill times the one-hot class plus noise, all times the member's confidence. Members share
    part of their noise. A member's skill lies between 0.7 and 1 times `skill`. Size 0 is the training size. Size 1 has
    3% more skill; each further size has 8% less than the one before.

    Attributes:
        group_size: images per group; they have one class and share 60% of their noise's variance.
        skill: of the best member.
        correlation: share of the noise's variance that all members share.
        methods: of nested_cv.NestedCv.
        trained: whether members are trained on simulated features, fold by fold, instead of drawn.
        shares: of the classes, which drawn members know as their prior; () for classes that are equally frequent.
    """

    name: str
    metric: str
    n_images: int
    n_members: int
    skill: float
    n_classes: int = 3
    group_size: int = 1
    correlation: float = 0.5
    n_sizes: int = 3
    methods: tuple[str, ...] = ("equal", "logits", "greedy", "weighted", "stacking")
    trained: bool = False
    shares: tuple[float, ...] = ()


@dataclass
class SimulatedContest:
    """Out-of-fold predictions, and the fold models' predictions of a large population.

    Attributes:
        targets: (population,) class indices.
        logs: of the population, by model (one per fold if trained, else one) and member: TTA -> log probabilities.
    """

    scored: EvaluationSet
    members: list[OofByTta]
    targets: Targets
    logs: list[list[dict[Tta, Probs]]] = field(repr=False)

    def truths(self, nest: nested_cv.NestedCv, outcome: nested_cv.Outcome) -> tuple[float, float]:
        """Return the recipe's true score with one fold's models (mean over folds), and with the mean of all folds."""
        metric, recipe = self.scored.metric, outcome.recipe
        blends = [recipe.blended(self._calibrated(nest, of_fold)) for of_fold in self.logs]
        single = float(np.mean([metric.function(self.targets, recipe.decided(blend)) for blend in blends]))
        mean = recipe.decided(np.asarray(np.mean(blends, axis=0, dtype=np.float64), np.float32))
        return single, metric.function(self.targets, mean)

    def _calibrated(self, nest: nested_cv.NestedCv, of_fold: list[dict[Tta, Probs]]) -> Iterator[Probs]:
        for chosen, logs in zip(nest.members, of_fold, strict=True):
            choice = chosen.choices[nested_cv.NONE_HELD_OUT]
            yield choice.calibration.apply(_averaged(logs, choice.tta), None)


def draw(condition: Condition, number: int) -> SimulatedContest:
    """Draw one contest; the same number gives the same contest."""
    rng = np.random.default_rng(seeding.derive("simulated", condition.name, number))
    if condition.trained:
        return _trained(condition, rng)
    population = _population(condition)
    targets, groups = _labels(condition, condition.n_images, condition.group_size, rng)
    logs = _predictions(condition, targets, groups, rng)
    scored = _evaluation_set(condition, targets, groups)
    return SimulatedContest(scored, [_member(of_member, scored) for of_member in logs], population[0], [population[1]])


def _member(logs: dict[Tta, Probs], scored: EvaluationSet) -> OofByTta:
    default, *others = logs
    return OofByTta(default, tuple(others), dict(logs), scored)


def _evaluation_set(condition: Condition, targets: Targets, groups: Indices) -> EvaluationSet:
    folds = groups % N_FOLDS
    return EvaluationSet(targets, folds, groups, deal(folds, groups, targets), scores.SCORES[condition.metric])


def _labels(condition: Condition, n_images: int, group_size: int, rng: np.random.Generator) -> tuple[Targets, Indices]:
    n_groups = n_images // group_size
    groups = np.repeat(np.arange(n_groups), group_size)
    if condition.shares:
        return rng.choice(condition.n_classes, n_groups, p=condition.shares)[groups], groups
    return rng.integers(0, condition.n_classes, n_groups)[groups], groups


@lru_cache(maxsize=1)
def _population(condition: Condition) -> tuple[Targets, list[dict[Tta, Probs]]]:
    rng = np.random.default_rng(seeding.derive("population", condition.name))
    size = min(MAX_POPULATION, POPULATION_CELLS // (condition.n_members * condition.n_sizes))
    targets, groups = _labels(condition, size, 1, rng)
    return targets, _predictions(condition, targets, groups, rng)


def _predictions(
    condition: Condition, targets: Targets, groups: Indices, rng: np.random.Generator
) -> list[dict[Tta, Probs]]:
    """Draw every member's log probabilities for every TTA."""
    shape = (len(targets), condition.n_classes)
    shared = _noise(shape, groups, condition.group_size, rng)
    prior = np.log(np.array(condition.shares or [1.0] * condition.n_classes))
    members = []
    for member in range(condition.n_members):
        own = _noise(shape, groups, condition.group_size, rng)
        skill = condition.skill * (1 - 0.3 * member / max(condition.n_members - 1, 1))
        sureness = (0.7, 1.0, 1.6)[member % 3]
        confidence, own_prior = skill * sureness, sureness * prior
        base = np.sqrt(condition.correlation) * shared + np.sqrt(1 - condition.correlation) * own
        members.append(
            {
                Tta((224 + 32 * size,), TRANSFORMS): _logs(
                    base + 0.3 * rng.normal(size=shape),
                    targets,
                    factor,
                    skill=skill,
                    confidence=confidence,
                    prior=own_prior,
                )
                for size, factor in enumerate(_factors(condition.n_sizes))
            }
        )
    return members


def _logs(
    noise: NDArray[np.float64], targets: Targets, factor: float, *, skill: float, confidence: float, prior: Values
) -> Probs:
    logits = noise.copy()
    logits[np.arange(len(targets)), targets] += skill * factor
    return calibration.log_probs(calibration.scaled((logits * confidence + prior).astype(np.float32), 1.0))


def _factors(n_sizes: int) -> list[float]:
    return [(1.0, 1.03)[size] if size < 2 else 1 - 0.08 * (size - 1) for size in range(n_sizes)]


def _noise(shape: tuple[int, int], groups: Indices, group_size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    alone: NDArray[np.float64] = rng.normal(size=shape)
    if group_size == 1:
        return alone
    of_group: NDArray[np.float64] = rng.normal(size=(groups.max() + 1, shape[1]))[groups]
    return np.asarray(np.sqrt(0.6) * of_group + np.sqrt(0.4) * alone)


def _averaged(logs: dict[Tta, Probs], tta: Tta) -> Probs:
    if tta in logs:
        return logs[tta]
    return calibration.log_probs(
        np.mean([np.exp(logs[Tta((size,), tta.transforms)]) for size in tta.image_sizes], axis=0, dtype=np.float32)
    )


N_FEATURES, N_USED, TRAINED_POPULATION = 30, 12, 10_000


def _trained(condition: Condition, rng: np.random.Generator) -> SimulatedContest:
    """Train every member in cross-validation: linear discriminants, each on a random subset of the features.

    As for networks, the predictions of a fold depend on the images of all other folds.
    """
    centres = rng.normal(size=(condition.n_classes, N_FEATURES)) * condition.skill / np.sqrt(N_USED)
    targets, groups = _labels(condition, condition.n_images, condition.group_size, rng)
    features = centres[targets] + _noise((len(targets), N_FEATURES), groups, condition.group_size, rng)
    new, _ = _labels(condition, TRAINED_POPULATION, 1, rng)
    new_features = centres[new] + rng.normal(size=(len(new), N_FEATURES))
    scored = _evaluation_set(condition, targets, groups)
    members, population = [], [[] for _ in range(N_FOLDS)]  # type: tuple[list[OofByTta], list[list[dict[Tta, Probs]]]]
    for _ in range(condition.n_members):
        used = rng.permutation(N_FEATURES)[:N_USED]
        logs = {tta: np.empty((len(targets), condition.n_classes), np.float32) for tta in _blurs(condition)}
        for fold in range(N_FOLDS):
            here = scored.folds == fold
            model = _discriminant(features[~here][:, used], targets[~here], condition.n_classes)
            of_fold = {}
            for tta, blur in _blurs(condition).items():
                logs[tta][here] = model(features[here][:, used] + blur * rng.normal(size=(here.sum(), N_USED)))
                of_fold[tta] = model(new_features[:, used] + blur * rng.normal(size=(len(new), N_USED)))
            population[fold].append(of_fold)
        members.append(_member(logs, scored))
    return SimulatedContest(scored, members, new, population)


def _blurs(condition: Condition) -> dict[Tta, float]:
    """Return each TTA's blur: the standard deviation of noise that is added to the features."""
    return {Tta((224 + 32 * size,), TRANSFORMS): 0.4 if size < 2 else 0.8 for size in range(condition.n_sizes)}


def _discriminant(features: NDArray[np.float64], targets: Targets, n_classes: int):  # type: ignore[no-untyped-def]
    """Fit Gaussian classes with one covariance matrix; return the function features -> log probabilities."""
    means = np.stack([features[targets == index].mean(axis=0) for index in range(n_classes)])
    centred = features - means[targets]
    inverse = np.linalg.inv(centred.T @ centred / len(features) + 0.05 * np.eye(features.shape[1]))
    slopes, offsets = means @ inverse, -0.5 * np.einsum("ij,jk,ik->i", means, inverse, means)

    def predict(new: NDArray[np.float64]) -> Probs:
        return calibration.log_probs(calibration.scaled((new @ slopes.T + offsets).astype(np.float32), 1.0))

    return predict
