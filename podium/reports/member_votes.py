"""Each member's out-of-fold predictions as votes on the labels, and whether a member is better than chance.

Image sizes, TTA transforms and members have equal weights: choosing among them by the labels would trust the labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import scratch
from podium.core import targets as label_targets
from podium.predictions import member_predictions
from podium.predictions.member_predictions import MemberPredictions

Targets = NDArray[np.int64]
CHANCE_Z = 1.645  # standard errors above chance; chance alone exceeds it in 1 of 20 cases
NO_VOTE = -1  # in place of a class index


@dataclass(frozen=True)
class Vote:
    """One member's predictions.

    Attributes:
        likeliest: (images,) class index of the likeliest class; NO_VOTE where there is no prediction.
        probability: (images,) probability of that class; NaN where there is no prediction.
    """

    likeliest: Targets
    probability: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class MemberVotes:
    """All members' predictions.

    Attributes:
        probs: (images, classes), mean over the members that predict the image; of sets of labels the rows of
            podium.core.targets.probs_of_rows, as for the votes.
        votes: by member.
    """

    probs: NDArray[np.float64]
    votes: dict[str, Vote]


def read(
    root: Path, values: dict[str, Any], folds: pd.DataFrame, reviewed: pd.DataFrame, classes: list[str]
) -> MemberVotes:
    """Read the predictions of the reviewed images, with one member in memory at a time.

    Args:
        root: of the project.
        values: of params.yaml.
        folds: tables.FOLDS.
        reviewed: the rows of `folds` to read.
        classes: in the order of the probabilities.
    """
    total = np.zeros_like(label_targets.probs_of_rows(np.zeros((len(reviewed), len(classes))), classes))
    n_votes, votes = np.zeros(len(total), np.int64), {}
    for name, member in member_predictions.blend_members(values, root).items():
        rows = member_predictions.predicted_rows(member, folds)
        known = (reviewed["image_id"].isin(rows["image_id"]), rows["image_id"].isin(reviewed["image_id"]))
        has_prediction, is_reviewed = (label_targets.rows_of_images(one.to_numpy(), classes) for one in known)
        probs = _mean(member, rows, classes)
        probs = probs if is_reviewed.all() else probs[is_reviewed]
        votes[name] = to_vote(probs, has_prediction)
        if has_prediction.all():
            total += probs  # without a copy, because tables may be large
        else:
            total[has_prediction] += probs
        n_votes += has_prediction
        del probs
    total /= n_votes[:, None]
    return MemberVotes(scratch.on_disk(total), votes)


def to_vote(probs: NDArray[np.floating[Any]], has_prediction: NDArray[np.bool_]) -> Vote:
    """Return a member's vote; of ties the first class.

    Args:
        probs: (predicted images, classes).
        has_prediction: (images,).
    """
    likeliest, probability = np.full(len(has_prediction), NO_VOTE), np.full(len(has_prediction), np.nan)
    likeliest[has_prediction] = probs.argmax(1)
    probability[has_prediction] = probs.max(1)
    return Vote(likeliest, probability)


def members_at_chance(targets: Targets, votes: Mapping[str, Vote], n_labels: int = 1) -> list[str]:
    """Name the members whose predictions agree with the labels no more often than by chance.

    Of sets of labels, with n_labels rows an image, the labels are counted one by one and added up.
    """
    return [name for name, vote in votes.items() if at_chance(targets, vote.likeliest, n_labels)]


def at_chance(targets: Targets, likeliest: Targets, n_labels: int = 1) -> bool:
    """Test whether predictions agree with the labels no more often than after shuffling them among the images.

    A member that always predicts the same class is at chance, however large that class is. Every image counts as one,
    so many duplicates may make a member look better than it is.

    Args:
        targets: (images,) class indices.
        likeliest: (images,) predicted class indices; NO_VOTE where there is none.
        n_labels: rows of an image.

    Source: Hoeffding 1951, A combinatorial central limit theorem, Annals of Mathematical Statistics 22.
    """
    found = [_agreement(targets[label::n_labels], likeliest[label::n_labels]) for label in range(n_labels)]
    more, variance = (sum(values) for values in zip(*found, strict=True))
    return bool(more <= CHANCE_Z * np.sqrt(variance) + 1e-9)


def _agreement(targets: Targets, likeliest: Targets) -> tuple[float, float]:
    """Return how many more images agree than are expected after shuffling, and the variance of that number."""
    targets, likeliest = targets[likeliest != NO_VOTE], likeliest[likeliest != NO_VOTE]
    n = len(targets)
    if n == 0:
        return 0.0, 0.0
    n_classes = int(max(targets.max(), likeliest.max())) + 1
    given, predicted = (np.bincount(classes, minlength=n_classes) / n for classes in (targets, likeliest))
    expected = given @ predicted
    centred = np.eye(n_classes) - predicted[:, None] - given + expected
    variance = n**2 / max(n - 1, 1) * np.sum(np.outer(given, predicted) * centred**2)
    agreeing = int(np.sum(targets == likeliest))
    return float(agreeing - n * expected), float(variance)


def _mean(member: MemberPredictions, rows: pd.DataFrame, classes: list[str]) -> NDArray[np.float64]:
    """Average a member's predictions over all phases, image sizes and TTA transforms: (rows, classes)."""
    total, count = np.zeros_like(label_targets.probs_of_rows(np.zeros((len(rows), len(classes))), classes)), 0
    for tta in (member.default, *member.alternatives):
        if tta.transforms == member.default.transforms:  # the identity transform alone is among these
            total += member_predictions.read_predicted(member, tta, rows, classes)
            count += 1
    total /= count
    return total
