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
SMALLEST = 1e-6  # distance: equal images differ by rounding
BLOCK = 1024  # images at a time


@dataclass(frozen=True, eq=False)
class Novelty:
    """Training images in feature space.

    Attributes:
        references: (n_references, n_features), of length 1.
        threshold: the distance above which an image is unlike the training images.
    """

    references: Features
    threshold: float

    def ratios(self, features: Features) -> NDArray[np.float64]:
        """Return distance / threshold (n_images,) of features (n_images, n_features); above 1 an image is unlike."""
        return _nearest(_unit(features), self.references) / self.threshold


def fit(features: Features, folds: NDArray[np.str_]) -> Novelty:
    """Keep training images as references and choose the threshold.

    Args:
        features: (n_images, n_features) of the training images.
        folds: (n_images,) each image's fold.
    """
    order = np.random.default_rng(seeding.derive("novelty")).permutation(len(features))
    kept = np.sort(order[:MAX_REFERENCES])
    references, of_fold = _unit(features[kept]), folds[kept]
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


def _unit(features: Features) -> Features:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(norms, np.float32(SMALLEST)), np.float32)


def _nearest(features: Features, references: Features) -> NDArray[np.float64]:
    """Return each row's cosine distance from the nearest reference (n_images,); both are of length 1."""
    blocks = [features[start : start + BLOCK] @ references.T for start in range(0, len(features), BLOCK)]
    return np.concatenate([1 - block.max(axis=1).astype(np.float64) for block in blocks] or [np.zeros(0)])
