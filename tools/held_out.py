"""Held-out predictions of one member's candidates, calibrated and judged as `ensemble` judges; for tools.tune."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd

from podium.core import params, tables
from podium.core import targets as label_targets
from podium.core.errors import InputError
from podium.inference.settings import MemberSettings
from podium.predictions import calibration
from podium.predictions.calibration import Probs
from podium.scoring import comparison, evaluation_set, scores
from podium.scoring.comparison import Comparison
from podium.scoring.evaluation_set import EvaluationSet

PROBE = "probe"
MISSING = float("nan")


@dataclass(frozen=True)
class HeldOut:
    """What candidates predict of held-out images, by fold.

    Calibration is a temperature per fold (and a share of the class prior, where a training corrected for the classes'
    counts), fitted on the fold itself: a candidate must not lose for what the ensemble corrects. One or two fitted
    numbers overfit little, and equally for all candidates.

    Attributes:
        images: all training images.
        image_ids: of them.
        classes: in the order of the models' outputs.
        folds: names, in params.yaml's order.
        image_size: of training, in pixels.
        costs: candidate -> its cost on each fold; NaN where it did not train. The probe has all.
        scores: candidate -> its score in the contest's metric on each fold.
        probs: candidate -> fold -> calibrated probabilities (images, classes).
    """

    images: EvaluationSet
    image_ids: np.ndarray[Any, np.dtype[np.str_]]
    classes: list[str]
    folds: list[str]
    image_size: int
    costs: dict[str, list[float]] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    probs: dict[str, dict[int, Probs]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: MemberSettings, values: dict[str, Any], folds: pd.DataFrame, probe: pd.DataFrame) -> Self:
        """Describe a contest's images and judge a member's probe.

        Args:
            settings: of the member.
            values: the whole of params.yaml.
            folds: tables.FOLDS.
            probe: its tables.PREDICTIONS.
        """
        used = folds[folds["use"] == "train"].sort_values("image_id", ignore_index=True)
        classes = label_targets.class_names(used["label"])
        names = [str(fold) for fold in params.section(values, "folds")]
        metric = scores.named(params.section(values, "contest.metric"), classes)
        images = evaluation_set.of_folds(used, names, classes, metric)
        found = cls(images, used["image_id"].to_numpy(str), classes, names, settings.model.image_size)
        sizes, transforms = settings.infer.image_sizes, settings.infer.transforms
        for fold in range(len(names)):
            found.add(
                PROBE,
                fold,
                probe,
                image_size=found.image_size if found.image_size in sizes else sizes[0],
                transform="identity" if "identity" in transforms else transforms[0],
            )
        return found

    @property
    def weights(self) -> list[int]:
        """Return the number of images of each fold."""
        return [len(self.rows(fold)) for fold in range(len(self.folds))]

    def rows(self, fold: int) -> evaluation_set.Indices:
        """Return the positions of a fold's images; of sets of labels those of podium.core.targets.as_rows."""
        return np.flatnonzero(self.images.folds == fold)

    def has(self, name: str, fold: int) -> bool:
        """Say whether a candidate has trained on a fold."""
        return fold in self.probs.get(name, {})

    def forget(self, name: str) -> None:
        """Forget a candidate."""
        del self.costs[name], self.scores[name], self.probs[name]

    def add(
        self,
        name: str,
        fold: int,
        table: pd.DataFrame,
        *,
        image_size: int | None = None,
        transform: str = "identity",
        balanced: bool = False,
    ) -> None:
        """Add a candidate's predictions of a fold.

        Args:
            name: of the candidate.
            fold: position.
            table: tables.PREDICTIONS.
            image_size: of the predictions; default: that of training.
            transform: of the predictions.
            balanced: the training corrected for the classes' counts, so it may lack the class prior.

        Raises:
            InputError: an image has no prediction.
        """
        rows = self.rows(fold)
        logs = calibration.log_probs(
            self._probs(name, fold, table, self.image_size if image_size is None else image_size, transform)
        )
        targets = self.images.targets[rows]
        shift = None
        if balanced:
            shift = calibration.prior_shifts(self.images.targets, self.images.folds, len(self.classes))[fold]
        probs = calibration.fit(logs, targets, shift).apply(logs, shift)
        nothing = [MISSING] * len(self.folds)
        try:
            cost, score = self.images.cost(rows, probs), self.images.metric.function(targets, probs)
        except ValueError as error:
            raise InputError(f"fold {self.folds[fold]} cannot be judged alone: {error}") from None
        self.costs.setdefault(name, list(nothing))[fold] = cost
        self.scores.setdefault(name, list(nothing))[fold] = score
        self.probs.setdefault(name, {})[fold] = probs

    def compare(self, base: str, candidate: str, folds: Sequence[int], n_comparisons: int) -> Comparison:
        """Compare two candidates on folds that both trained on, as everywhere (podium/scoring/comparison.py)."""
        rows = np.concatenate([self.rows(fold) for fold in folds])
        first, second = (np.concatenate([self.probs[name][fold] for fold in folds]) for name in (base, candidate))
        return comparison.compare(
            self.images.metric,
            self.images.targets[rows],
            base=first,
            candidate=second,
            groups=self.images.groups[rows],
            n_comparisons=n_comparisons,
        )

    def _probs(self, name: str, fold: int, table: pd.DataFrame, image_size: int, transform: str) -> Probs:
        wanted = {"subset": "train", "fold": self.folds[fold], "image_size": image_size, "transform": transform}
        for column, value in wanted.items():
            table = table[table[column] == value]
        of_images = self.images.folds[:: label_targets.rows_per_image(self.classes)]
        ids = self.image_ids[of_images == fold]
        table = table.set_index("image_id").reindex(ids)
        columns = [tables.PROBABILITY + label for label in self.classes]
        probs: Probs = table.reindex(columns=columns).to_numpy(np.float32)
        if not np.isfinite(probs).all():
            raise InputError(f"{name}: images of fold {self.folds[fold]} have no predictions; run `make tune` again")
        return label_targets.probs_of_rows(probs, self.classes)
