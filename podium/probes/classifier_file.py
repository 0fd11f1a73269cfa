"""A probe's linear classifiers on disk, in full precision: new images are predicted with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from podium.core import array_file
from podium.core.errors import InputError

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
        name = f"{size}/{fold}"
        arrays |= {f"{name}.weights": np.asarray(weights, np.float64), f"{name}.biases": np.asarray(biases, np.float64)}
    array_file.write(path, arrays, {"classes": classifiers.classes, "single": dict(classifiers.single)})


def read(path: Path, classes: Sequence[str]) -> Classifiers:
    """Read a file of `write`.

    Raises:
        InputError: the classifiers are of other classes than `classes`.
    """
    arrays, meta = array_file.read(path)
    fitted = {}
    for name in [key.removesuffix(".weights") for key in arrays if key.endswith(".weights")]:
        size, _, fold = name.partition("/")
        fitted[int(size), fold] = (arrays[f"{name}.weights"], arrays[f"{name}.biases"])
    if meta["classes"] != list(classes):
        raise InputError(
            f"{path}: the probe was fitted on classes {meta['classes']}, not {list(classes)}; run `dvc repro`"
        )
    return Classifiers(meta["classes"], fitted, meta["single"])
