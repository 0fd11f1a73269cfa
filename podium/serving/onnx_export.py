"""Write a network as ONNX: any number of images, any image size where it allows that, checked against torch.

A network is exported once for all sizes. Where the export fails or its output is another than torch's at one of the
sizes, it is exported once per size. So is a network whose padding depends on the size (timm's `pad_type: same`): for
any size the exporter reasons about paddings of paddings, which takes minutes (docs/log.md, 2026-11-29).
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from podium.core.errors import InputError

TOLERANCE = 2e-5  # of a probability, or of a feature relative to the largest one
BATCHES = (1, 3)  # numbers of images that are checked
ANY = "any"  # size


class FrozenFeatures(nn.Module):
    """A timm model's input of its classifier, as `predict.features` computes it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return features (images, features)."""
        features: torch.Tensor = self.model.forward_head(self.model.forward_features(images), pre_logits=True)  # type: ignore[operator]
        return features


def write(model: nn.Module, folder: Path, name: str, sizes: Sequence[int], *, any_size: bool = True) -> dict[str, str]:
    """Export a network; return its files' names by image size, or by ANY.

    Args:
        model: in fp32 on the CPU; this function sets evaluation mode.
        folder: of the files.
        name: of the files, without their ending.
        sizes: pixels, at which it will predict.
        any_size: whether to try one file for all sizes; False where this failed for another fold's network.

    Raises:
        InputError: no export gives what torch gives.
    """
    model = model.to(memory_format=torch.contiguous_format).eval()
    everywhere = folder / f"{name}.onnx"
    if any_size and not pads_by_size(model) and _is_exported(model, everywhere, sizes, any_size=True):
        return {ANY: everywhere.name}
    files = {}
    for size in sizes:
        path = folder / f"{name}_{size}.onnx"
        if not _is_exported(model, path, [size], any_size=False):
            raise InputError(f"{name}: ONNX cannot hold this network at {size} pixels: its outputs are not torch's")
        files[str(size)] = path.name
    return files


def pads_by_size(model: nn.Module) -> bool:
    """Say whether a layer's padding depends on the image size: timm's Conv2dSame, MaxPool2dSame and others."""
    return any("Same" in type(module).__name__ for module in model.modules())


def _is_exported(model: nn.Module, path: Path, sizes: Sequence[int], *, any_size: bool) -> bool:
    """Export to `path` and say whether it predicts as torch does; remove a file that does not."""
    try:
        _export(model, path, max(sizes), any_size=any_size)
        if all(_is_equal(model, path, size, count) for size in sizes for count in BATCHES):
            return True
    except Exception as error:  # torch's exporter and onnxruntime raise many classes for what they cannot do
        logging.getLogger(__name__).info("%s: %s", path.name, error)
    path.unlink(missing_ok=True)
    return False


def _export(model: nn.Module, path: Path, size: int, *, any_size: bool) -> None:
    shapes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if any_size:
        shapes |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    images = torch.zeros(2, 3, size, size)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.inference_mode(False):
        warnings.simplefilter("ignore")  # of the exporter, about its own internals
        torch.onnx.export(
            model,
            (images,),
            str(path),
            dynamo=True,
            dynamic_shapes=(shapes,),
            external_data=False,
            verbose=False,
        )


def _is_equal(model: nn.Module, path: Path, size: int, count: int) -> bool:
    import onnxruntime

    images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(size))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: images.numpy()})[0]
    with torch.inference_mode():
        wanted = model(images).numpy()
    largest = max(float(np.abs(wanted).max()), 1e-6)
    return bool(found.shape == wanted.shape and np.abs(found - wanted).max() <= TOLERANCE * max(largest, 1.0))
