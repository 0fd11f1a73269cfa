"""A member's frozen features, averaged over image sizes: on disk, they are what the joint probe reads."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from podium.core import tables
from podium.core.errors import InputError, some

Features = NDArray[np.float32]


def size_order(image_sizes: Sequence[int], training_size: int) -> list[int]:
    """Return the sizes in the order in which features are added up: the training size, or the first one, first."""
    first = training_size if training_size in image_sizes else image_sizes[0]
    return sorted(image_sizes, key=lambda size: (size != first, size))


def mean_over_sizes(features: Iterable[Features]) -> Features:
    """Return the mean of an image's features at several sizes (n_images, n_transforms, n_features)."""
    total, count = None, 0
    for one in features:
        total, count = (one if total is None else total + one), count + 1
    if total is None:
        raise ValueError("a member predicts at one size at least")
    return divided(total, count)


def divided(total: Features, count: int) -> Features:
    """Return the mean of `count` features whose sum is `total`."""
    return total if count == 1 else total / np.float32(count)


def write(path: Path, features: dict[str, tuple[Sequence[str], Features]]) -> None:
    """Write features as safetensors; the image ids are metadata.

    Args:
        path: of the file.
        features: "train" and "test" -> image ids, and features (n_images, n_transforms, n_features).
    """
    ids = {subset: list(image_ids) for subset, (image_ids, _) in features.items()}
    arrays = {subset: np.ascontiguousarray(values) for subset, (_, values) in features.items()}
    with tables.replacing(path) as temporary:
        safetensors.numpy.save_file(arrays, str(temporary), metadata={"image_ids": json.dumps(ids, sort_keys=True)})


def read(path: Path, subset: str, image_ids: Sequence[str]) -> Features:
    """Read the features of images in the order of `image_ids`: (n_images, n_transforms, n_features).

    Raises:
        InputError: an image has no features there.
    """
    with safetensors.safe_open(str(path), framework="numpy") as opened:
        known = {image_id: row for row, image_id in enumerate(json.loads(opened.metadata()["image_ids"])[subset])}
        values: Features = opened.get_tensor(subset)
    if missing := [image_id for image_id in image_ids if image_id not in known]:
        raise InputError(f"{path}: no features of {some(missing)}; run `dvc repro` to rebuild it")
    return values[[known[image_id] for image_id in image_ids]]
