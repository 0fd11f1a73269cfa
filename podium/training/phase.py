"""The inputs and outputs of one phase: its job in params.yaml, the images of its fold, its held-out predictions.

The phases are `pretrain` (phase 1, with mixup; not ImageNet pretraining), `finetune`, `fixres`, `pseudo`
and `distill`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import params, tables, targets
from podium.core.errors import InputError
from podium.models.settings import ModelSettings, TorchSettings
from podium.training.settings import (
    DistillSettings,
    FinetuneSettings,
    FixresSettings,
    PretrainSettings,
    PseudoSettings,
)

Settings = PretrainSettings | FinetuneSettings | FixresSettings | PseudoSettings
_SETTINGS: dict[str, type[Settings]] = {
    "pretrain": PretrainSettings,
    "finetune": FinetuneSettings,
    "fixres": FixresSettings,
    "pseudo": PseudoSettings,
    "distill": DistillSettings,
}
OPTIONAL = ("fixres", "pseudo", "distill")  # phases with a top-level map of their own, by member


@dataclass(frozen=True)
class TrainingJob:
    """One phase of one member on one fold, with its settings."""

    phase: str
    member: str
    fold: str
    model: ModelSettings
    settings: Settings
    torch: TorchSettings
    root: Path

    @property
    def name(self) -> str:
        """Return the DVC stage's name."""
        return f"{self.phase}@{self.member}-{self.fold}"

    @property
    def key(self) -> str:
        """Return the dotted key of the phase's settings."""
        return _key(self.phase, self.member)

    @property
    def image_size(self) -> int:
        """Return the side, in pixels, of the images that this phase trains on and predicts."""
        own = self.settings.image_size if isinstance(self.settings, PretrainSettings | FixresSettings) else None
        return self.model.image_size if own is None else own

    def path(self, top: str, ending: str) -> Path:
        """Return the path of an output under models/ or data/."""
        return self.root / top / self.phase / self.member / f"{self.fold}{ending}"

    @property
    def state_path(self) -> Path:
        """Return the path of the state of an unfinished training; DVC deletes outputs, so it is none of them."""
        return self.path(".resume", ".state")


@dataclass(frozen=True)
class LabelledImages:
    """The training images or the held-out images of a fold: ids and targets (podium.core.targets)."""

    image_ids: list[str]
    targets: NDArray[Any]


@dataclass(frozen=True)
class SoftLabelledImages:
    """Images with soft labels (n_images, n_classes); a row sums to the weight of its image in the loss."""

    image_ids: list[str]
    targets: NDArray[np.float32]


@dataclass(frozen=True)
class FoldImages:
    """The images of one fold's training.

    Attributes:
        classes: names in the order of the model's outputs.
        train: images of the other folds, without skipped ones; then extra images.
        held_out: images of this fold, without skipped ones.
        shares: of the train images (n_images,): 1, or the share of its kind that an epoch draws; None if all are 1.
    """

    classes: list[str]
    train: LabelledImages
    held_out: LabelledImages
    shares: NDArray[np.float64] | None = None


def read_fold(folds: pd.DataFrame, fold: str) -> FoldImages:
    """Split folds.csv into training images and held-out images of a fold, both sorted by id.

    Raises:
        InputError: there are no training images, or no held-out ones.
    """
    used = folds[folds["use"] == "train"].sort_values("image_id")
    classes = targets.class_names(used["label"])

    def labelled(rows: pd.DataFrame) -> LabelledImages:
        return LabelledImages(list(rows["image_id"]), targets.of_labels(rows["label"], classes))

    data = FoldImages(classes, labelled(used[used["fold"] != fold]), labelled(used[used["fold"] == fold]))
    if not data.train.image_ids or not data.held_out.image_ids:
        raise InputError(
            f"data/split/folds.csv: fold {fold} has no image to score, or no image outside it to train on;"
            " change the folds"
        )
    return data


def with_extra(data: FoldImages, files: Sequence[Path], fold: str) -> FoldImages:
    """Add the images of files of tables.EXTRA that this fold may train on."""
    rows = [tables.read(path, tables.EXTRA) for path in files]
    if not rows:
        return data
    table = pd.concat(rows)
    table = table[[fold not in folds.split() for folds in table["without"]]]
    own, labels = data.train, targets.of_labels(table["label"], data.classes)
    train = LabelledImages([*own.image_ids, *table["image_id"]], np.concatenate([own.targets, labels]))
    shares = np.concatenate([np.ones(len(own.image_ids)), table["share"]])
    return FoldImages(data.classes, train, data.held_out, None if (shares == 1).all() else shares)


def extra_files(root: Path) -> list[Path]:
    """Return the files of the stage `extra`."""
    return sorted((root / "data/extra").glob("*.csv"))


def write_predictions(job: TrainingJob, table: pd.DataFrame) -> None:
    """Write predictions of the held-out fold (tables.PREDICTIONS and a column per class)."""
    tables.write(table, job.path("data", ".parquet"), tables.PREDICTIONS)


def load_job(phase: str, member: str, fold: str, root: Path) -> TrainingJob:
    """Read the settings of one phase of one member from params.yaml.

    Raises:
        InputError: a section is missing or wrong.
    """
    return TrainingJob(
        phase,
        member,
        fold,
        params.load(f"members.{member}.model", ModelSettings, root),
        params.load(_key(phase, member), _SETTINGS[phase], root),
        params.load("torch", TorchSettings, root),
        root,
    )


def _key(phase: str, member: str) -> str:
    return f"{phase}.{member}" if phase in OPTIONAL else f"members.{member}.{phase}"
