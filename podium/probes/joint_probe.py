"""The joint probe: one linear classifier on the frozen features of all members side by side.

Every feature is standardised by the training images of a fold. Inner folds choose the regularisation.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import seeding, tables
from podium.probes import features_file, linear_probe
from podium.probes.linear_probe import ProbePredictions
from podium.probes.member_probe import ProbeImages, prediction_tables, read_images

IMAGE_SIZE = 0  # every member's features are of its own training size
TRANSFORM = "identity"  # probabilities are averaged over the transforms of the features
SEED = 0


def run(members: Sequence[str], fold_names: Sequence[str], root: Path) -> dict[str, float | None]:
    """Write the joint probe's predictions; return the chosen C by fold.

    Args:
        members: names of two members at least, sorted.
        fold_names: of params.yaml.
        root: of the project.
    """
    images = read_images(root, fold_names)
    paths = [root / f"data/probe/{member}.safetensors" for member in members]
    train = side_by_side([features_file.read(path, "train", images.image_ids) for path in paths])
    test = side_by_side([features_file.read(path, "test", images.test_ids) for path in paths])
    probed = linear_probe.predict_folds(
        train,
        images.targets,
        images.folds,
        test,
        n_classes=len(images.classes),
        seeds={fold: seeding.derive(SEED, "joint_probe", fold) for fold in fold_names},
    )
    tables.write(_table(images, probed), root / "data/joint_probe/predictions.parquet", tables.PREDICTIONS)
    return probed.strengths


def side_by_side(features: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join members' features (n_images, n_transforms, n_features); one with fewer transforms repeats its first one."""
    n_transforms = max(one.shape[1] for one in features)
    padded = [one if one.shape[1] == n_transforms else np.repeat(one[:, :1], n_transforms, axis=1) for one in features]
    return np.concatenate(padded, axis=2)


def _table(images: ProbeImages, probed: ProbePredictions) -> pd.DataFrame:
    averaged = ProbePredictions(
        probed.train.mean(axis=1, keepdims=True),
        {fold: probs.mean(axis=1, keepdims=True) for fold, probs in probed.test.items()},
        probed.strengths,
    )
    return pd.concat(prediction_tables(images, averaged, IMAGE_SIZE, [TRANSFORM]), ignore_index=True)
