"""The linear heads of a member's probe on disk, one per fold: `probe` writes them, and trainings start from them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import nn

from podium.core import tables
from podium.core.errors import InputError
from podium.models.backbones import META_KEY

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
        arrays |= {f"{fold}.weight": np.ascontiguousarray(weight), f"{fold}.bias": np.ascontiguousarray(bias)}
    meta = json.dumps({"classes": probed.classes, "missing": probed.missing}, sort_keys=True)
    with tables.replacing(path) as temporary:
        safetensors.numpy.save_file(arrays, str(temporary), metadata={META_KEY: meta})


def read(path: Path, classes: Sequence[str]) -> ProbeHeads:
    """Read a file of `write`.

    Raises:
        InputError: the heads are of other classes than `classes`.
    """
    with safetensors.safe_open(str(path), framework="numpy") as opened:
        meta = json.loads(opened.metadata()[META_KEY])
        folds = [name.removesuffix(".weight") for name in opened.keys() if name.endswith(".weight")]  # noqa: SIM118
        heads = {fold: (opened.get_tensor(f"{fold}.weight"), opened.get_tensor(f"{fold}.bias")) for fold in folds}
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
