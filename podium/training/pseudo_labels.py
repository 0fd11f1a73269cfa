"""Pseudo-labels: images without labels, with what models predict of them as soft labels.

A model that is held out on a fold may learn nothing of that fold's labels. Models of other folds were trained on them,
and hand them on with each of their predictions. So only models of the same fold may label images for it.
docs/honest_scores.md measures what happens otherwise.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from podium.core import tables
from podium.core.errors import InputError
from podium.training.phase import LabelledImages, SoftLabelledImages
from podium.training.settings import PseudoSettings
from podium.training.train_images import TEST


def read_teacher(path: Path, classes: Sequence[str]) -> SoftLabelledImages:
    """Read what the blend of a fold's models predicts of the test images.

    Raises:
        InputError: there are no test images, or the predictions are of other classes.
    """
    table = tables.read(path, tables.PREDICTIONS)
    if tables.class_names(table) != list(classes):
        raise InputError(f"{path}: its classes are not those of folds.csv; run `dvc repro` to rebuild it")
    if table.empty:
        raise InputError(f"{path}: predicts no test image, and a student learns from them: set `distill: {{}}`")
    columns = [tables.PROBABILITY + name for name in classes]
    return SoftLabelledImages([TEST + image_id for image_id in table["image_id"]], table[columns].to_numpy(np.float32))


def joined(
    labelled: LabelledImages, predicted: SoftLabelledImages, settings: PseudoSettings, name: str
) -> SoftLabelledImages:
    """Join labelled images and those of the others that reach the threshold, each with its weight.

    Args:
        labelled: with their own labels.
        predicted: rows are probabilities.
        settings: with threshold, weight and temperature.
        name: of the training, for the message.
    """
    probs = predicted.targets
    chosen = np.flatnonzero(probs.max(axis=1, initial=0) >= settings.threshold)
    print(f"{name}: {len(chosen)} of {len(probs)} images get a pseudo-label (threshold {settings.threshold:g})")
    soft = np.float32(settings.weight) * tempered(probs[chosen], settings.temperature)
    own = np.eye(probs.shape[1], dtype=np.float32)[labelled.targets]
    image_ids = [*labelled.image_ids, *(predicted.image_ids[index] for index in chosen)]
    return SoftLabelledImages(image_ids, np.concatenate([own, soft]))


def tempered(probs: np.ndarray, temperature: float) -> np.ndarray:
    """Divide log probabilities (n_images, n_classes) by a temperature and renormalise."""
    powers = (probs / probs.max(axis=1, keepdims=True)) ** np.float32(1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
