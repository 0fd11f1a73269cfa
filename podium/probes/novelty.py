"""How unlike the training images a new image is: its distance from the nearest of them, in frozen features.

The distance is the cosine distance. It is compared with the distances of training images from the nearest training
image of another fold, so duplicates and images of one group do not make it small.

Source: Sun et al. 2022, Out-of-distribution detection with deep nearest neighbors, arXiv 2204.06507.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from podium.core import seeding, tables

Features = NDArray[np.float32]

QUANTILE = 0.99  # of the training images' own distances: the threshold, so about 1% of such images are false alarms
MAX_REFERENCES = 5000  # training images that are kept: 25 MB of 1,280 features
SMALLEST = 1e-9  # of a threshold and of a length: both are divided by
BLOCK = 1024  # images at a time


@dataclass(frozen=True, eq=False)
class Novelty:
    """Training images in feature space.

    Attributes:
        references: (n_references, n_features).
        threshold: the distance above which an image is unlike the training images.
    """

    references: Features
    threshold: float

    def ratios(self, features: Features) -> NDArray[np.float64]:
        """Return distance / threshold (n_images,) of features (n_images, n_features); above 1 an image is unlike."""
        return _nearest(features, self.references) / self.threshold


def fit(features: Features, folds: NDArray[np.str_]) -> Novelty:
    """Keep training images as references and choose the threshold.

    Args:
        features: (n_images, n_features) of the training images.
        folds: (n_images,) each image's fold.
    """
    order = np.random.default_rng(seeding.derive("novelty")).permutation(len(features))
    kept = np.sort(order[:MAX_REFERENCES])
    references, of_fold = features[kept], folds[kept]
    distances = [_nearest(references[of_fold == fold], references[of_fold != fold]) for fold in np.unique(of_fold)]
    threshold = float(np.quantile(np.concatenate(distances), QUANTILE))
    return Novelty(references, max(threshold, SMALLEST))


def write(path: Path, references: Features) -> None:
    """Write references as safetensors; the threshold belongs into the recipe."""
    with tables.replacing(path) as temporary:
        safetensors.numpy.save_file({"references": np.ascontiguousarray(references)}, str(temporary))


def read(path: Path, threshold: float) -> Novelty:
    """Read references of `write`."""
    return Novelty(safetensors.numpy.load_file(str(path))["references"], threshold)


def _nearest(features: Features, references: Features) -> NDArray[np.float64]:
    """Return each row's cosine distance from the nearest reference (n_images,).

    In double precision: features of a random backbone are nearly parallel, and 1 - cosine is small.
    """
    columns = _unit(references).T
    blocks = [_unit(features[start : start + BLOCK]) @ columns for start in range(0, len(features), BLOCK)]
    return np.concatenate([1 - block.max(axis=1) for block in blocks] or [np.zeros(0)])


def _unit(features: Features) -> NDArray[np.float64]:
    values = features.astype(np.float64)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), SMALLEST))
