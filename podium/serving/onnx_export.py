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
from torch.onnx import ONNXProgram

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


class Exporter:
    """Exports networks of one architecture: torch traces the first one, and the others only give their weights."""

    def __init__(self) -> None:
        self._traced: dict[int | None, ONNXProgram] = {}  # by image size; None for any size
        self._failed = False  # whether the first network could not be exported for any size

    def write(self, model: nn.Module, folder: Path, name: str, sizes: Sequence[int]) -> dict[str, str]:
        """Export a network; return its files' names by image size, or by ANY.

        Args:
            model: in fp32 on the CPU; this function sets evaluation mode.
            folder: of the files.
            name: of the files, without their ending.
            sizes: pixels, at which it will predict.

        Raises:
            InputError: no export gives what torch gives.
        """
        model = model.to(memory_format=torch.contiguous_format).eval()
        everywhere = folder / f"{name}.onnx"
        self._failed |= pads_by_size(model)
        if not self._failed and self._is_exported(model, everywhere, sizes, None):
            return {ANY: everywhere.name}
        self._failed = True
        files = {}
        for size in sizes:
            path = folder / f"{name}_{size}.onnx"
            if not self._is_exported(model, path, [size], size):
                raise InputError(f"{name}: ONNX cannot hold this network at {size} pixels: its outputs are not torch's")
            files[str(size)] = path.name
        return files

    def _is_exported(self, model: nn.Module, path: Path, sizes: Sequence[int], size: int | None) -> bool:
        """Export to `path` and say whether it predicts as torch does; remove a file that does not."""
        known = self._traced.get(size)
        for program in (None,) if known is None else (known, None):  # a network that does not fit is traced again
            try:
                self._save(model, path, max(sizes), size, program)
                if all(_is_equal(model, path, side, count) for side in sizes for count in BATCHES):
                    return True
            except Exception as error:  # torch's exporter and onnxruntime raise many classes for what they cannot do
                logging.getLogger(__name__).info("%s: %s", path.name, error)
            path.unlink(missing_ok=True)
        return False

    def _save(self, model: nn.Module, path: Path, side: int, size: int | None, program: ONNXProgram | None) -> None:
        if program is None:
            program = self._traced[size] = _trace(model, side, any_size=size is None)
        else:
            values = model.state_dict()
            program.apply_weights({name: values[name] for name in program.model.graph.initializers if name in values})
        program.save(path, external_data=False)


def pads_by_size(model: nn.Module) -> bool:
    """Say whether a layer's padding depends on the image size: timm's Conv2dSame, MaxPool2dSame and others."""
    return any("Same" in type(module).__name__ for module in model.modules())


def _trace(model: nn.Module, size: int, *, any_size: bool) -> ONNXProgram:
    """Return the program of a network; not optimised, so that its weights have the network's names."""
    shapes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if any_size:
        shapes |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    images = torch.zeros(2, 3, size, size)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.inference_mode(False):
        warnings.simplefilter("ignore")  # of the exporter, about its own internals
        found = torch.onnx.export(
            model, (images,), dynamo=True, dynamic_shapes=(shapes,), optimize=False, verbose=False
        )
    assert found is not None
    return found


def _is_equal(model: nn.Module, path: Path, size: int, count: int) -> bool:
    import onnxruntime

    images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(size))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: images.numpy()})[0]
    with torch.inference_mode():
        wanted = model(images).numpy()
    largest = max(float(np.abs(wanted).max()), 1e-6)
    return bool(found.shape == wanted.shape and np.abs(found - wanted).max() <= TOLERANCE * max(largest, 1.0))
