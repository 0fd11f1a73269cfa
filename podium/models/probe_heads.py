"""The linear heads of a member's probe on disk, one per fold: `probe` writes them, and trainings start from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from podium.core import array_file
from podium.core.errors import InputError

Head = tuple[NDArray[np.float32], NDArray[np.float32]]  # weight (n_classes, n_features), bias (n_classes,)


@dataclass(frozen=True)
class ProbeHeads:
    """A member's heads, each fitted on the training images of its fold.

    Attributes:
        classes: names in the order of the heads' outputs.
        heads: fold -> its head.
        missing: fold without a head -> the reason.
    """

    classes: list[str]
    heads: dict[str, Head]
    missing: dict[str, str]


def write(path: Path, probed: ProbeHeads) -> None:
    """Write heads as safetensors, with classes and reasons as metadata; the same heads give the same bytes."""
    arrays: dict[str, NDArray[np.float32]] = {}
    for fold, (weight, bias) in sorted(probed.heads.items()):
        arrays |= {f"{fold}.weight": weight, f"{fold}.bias": bias}
    array_file.write(path, arrays, {"classes": probed.classes, "missing": probed.missing})


def read(path: Path, classes: Sequence[str]) -> ProbeHeads:
    """Read a file of `write`.

    Raises:
        InputError: the heads are of other classes than `classes`.
    """
    arrays, meta = array_file.read(path)
    folds = [name.removesuffix(".weight") for name in arrays if name.endswith(".weight")]
    heads = {fold: (arrays[f"{fold}.weight"], arrays[f"{fold}.bias"]) for fold in folds}
    if meta["classes"] != list(classes):
        raise InputError(
            f"{path}: the probe was fitted on classes {meta['classes']}, folds.csv has {list(classes)}; run `dvc repro`"
            " to rebuild it"
        )
    return ProbeHeads(meta["classes"], heads, meta["missing"])


def set_classifier(classifier: nn.Linear, head: Head) -> None:
    """Copy a head into a linear classifier of the same shape."""
    weight, bias = head
    with torch.no_grad():
        classifier.weight.copy_(torch.from_numpy(weight))
        classifier.bias.copy_(torch.from_numpy(bias))
