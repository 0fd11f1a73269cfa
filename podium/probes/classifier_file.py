"""A probe's linear classifiers on disk, in full precision: new images are predicted with them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from podium.core import tables
from podium.core.errors import InputError

META_KEY = "podium"  # a single key, because safetensors writes several keys in no fixed order

Classifier = tuple[NDArray[np.float64], NDArray[np.float64]]  # weights (n_classes, n_features), biases (n_classes,)

JOINT = "models/joint_probe/classifiers.safetensors"  # of the joint probe


@dataclass(frozen=True)
class Classifiers:
    """The classifiers of a member, or of the joint probe.

    Attributes:
        classes: names in the order of the outputs.
        fitted: (image size, fold) -> its classifier.
        single: fold -> index of the only class outside it; a fold without a classifier predicts it.
    """

    classes: list[str]
    fitted: Mapping[tuple[int, str], Classifier]
    single: Mapping[str, int]


def of_member(name: str) -> str:
    """Return the path of a member's classifiers in the project."""
    return f"models/classifiers/{name}.safetensors"


def write(path: Path, classifiers: Classifiers) -> None:
    """Write classifiers as safetensors; the same classifiers give the same bytes."""
    arrays: dict[str, NDArray[np.float64]] = {}
    for (size, fold), (weights, biases) in sorted(classifiers.fitted.items()):
        arrays[f"{size}/{fold}.weights"] = np.ascontiguousarray(weights, np.float64)
        arrays[f"{size}/{fold}.biases"] = np.ascontiguousarray(biases, np.float64)
    meta = json.dumps({"classes": classifiers.classes, "single": dict(classifiers.single)}, sort_keys=True)
    with tables.replacing(path) as temporary:
        safetensors.numpy.save_file(arrays, str(temporary), metadata={META_KEY: meta})


def read(path: Path, classes: Sequence[str]) -> Classifiers:
    """Read a file of `write`.

    Raises:
        InputError: the classifiers are of other classes than `classes`.
    """
    with safetensors.safe_open(str(path), framework="numpy") as opened:
        meta = json.loads(opened.metadata()[META_KEY])
        fitted = {}
        for name in [key.removesuffix(".weights") for key in opened.keys() if key.endswith(".weights")]:  # noqa: SIM118
            size, _, fold = name.partition("/")
            fitted[int(size), fold] = (opened.get_tensor(f"{name}.weights"), opened.get_tensor(f"{name}.biases"))
    if meta["classes"] != list(classes):
        raise InputError(
            f"{path}: the probe was fitted on classes {meta['classes']}, not {list(classes)}; run `dvc repro`"
        )
    return Classifiers(meta["classes"], fitted, meta["single"])
