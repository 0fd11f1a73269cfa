"""The joint probe: one linear classifier on the frozen features of all members side by side.

Every feature is standardised by the training images of a fold. Inner folds choose the regularisation.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from podium.core import row_groups, seeding
from podium.probes import classifier_file, features_file, linear_probe
from podium.probes.held_out_scores import HeldOutScore
from podium.probes.member_probe import ProbedSize, classifiers, prediction_tables, read_images

IMAGE_SIZE = 0  # every member's features are a mean over its own sizes
TRANSFORM = "identity"  # features are averaged over the TTA transforms
SEED = 0


def run(members: Sequence[str], fold_names: Sequence[str], root: Path) -> ProbedSize:
    """Write the joint probe's predictions and classifiers; return the chosen C by fold and the score.

    Args:
        members: names of two members at least, sorted.
        fold_names: of params.yaml.
        root: of the project.
    """
    images = read_images(root, fold_names)
    paths = [root / f"data/probe/{member}.safetensors" for member in members]
    train = side_by_side(features_file.read(path, "train", images.image_ids) for path in paths)
    test = side_by_side(features_file.read(path, "test", images.test_ids) for path in paths)
    probed = linear_probe.predict_folds(
        train,
        images.targets,
        images.folds,
        test,
        n_classes=len(images.classes),
        seeds={fold: seeding.derive(SEED, "joint_probe", fold) for fold in fold_names},
    )
    with row_groups.writing(root / "data/joint_probe/predictions.parquet") as append:
        for table in prediction_tables(images, probed, IMAGE_SIZE, [TRANSFORM]):
            append(table)
    classifier_file.write(root / classifier_file.JOINT, classifiers(images, {IMAGE_SIZE: probed.fitted}))
    return ProbedSize(probed.strengths, HeldOutScore.of(probed.train, images.targets))


def side_by_side(features: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Average members' features (n_images, n_transforms, n_features) over transforms and join them.

    A member's features may be a gigabyte, so an iterator should read them one member at a time.

    Returns:
        (n_images, 1, n_features of all members).
    """
    return np.concatenate([one.mean(axis=1, keepdims=True) for one in features], axis=2)
