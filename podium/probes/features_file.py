"""A member's frozen features on disk: what the joint probe reads."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from podium.core import tables
from podium.core.errors import InputError, some

Features = NDArray[np.float32]


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
