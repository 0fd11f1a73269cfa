"""Device, threads and precision of a torch process, set so that the same inputs give the same bytes."""

import gc
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from podium.core.errors import InputError
from podium.models.settings import TorchSettings

Result = TypeVar("Result")

_NOT_DETERMINISTIC = "does not have a deterministic implementation"  # in torch's own error
_PYTHONS_OWN = (700, 10, 10)  # limits of garbage collection; cli.run starts with others
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Numerics:
    """Where and how precisely a model runs.

    Attributes:
        device: of the model and its batches.
        precision: "fp32", or "bf16" or "fp16" (CUDA alone) in the forward pass.
        channels_last: memory layout of the model and its batches.

    Raises:
        InputError: fp16 away from CUDA.
    """

    device: torch.device
    precision: str = "fp32"
    channels_last: bool = False

    def __post_init__(self) -> None:
        if self.precision == "fp16" and self.device.type != "cuda":
            raise InputError(f"precision fp16 needs a CUDA device, this is {self.device.type}; say bf16 or fp32")

    def place(self, model: nn.Module) -> nn.Module:
        """Move a model to the device, in its memory layout."""
        return model.to(self.device, memory_format=self._memory_format())  # type: ignore[call-overload,no-any-return]

    def layout(self, images: torch.Tensor) -> torch.Tensor:
        """Bring a batch (batch, 3, height, width) on the device into the model's memory layout."""
        return images.contiguous(memory_format=self._memory_format())

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=_DTYPES[self.precision])

    def _memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


def start(settings: TorchSettings) -> torch.device:
    """Set threads and determinism for this process and return the device ("auto": CUDA, then Apple's MPS, then CPU).

    Raises:
        InputError: the device is not there.
    """
    gc.freeze()  # what is imported by now stays; cycles, which may hold a device's memory, are looked for as usual
    gc.set_threshold(*_PYTHONS_OWN)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    # what finds operators that read memory nobody wrote costs up to a quarter of a training's time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    first = next(name for name, is_there in there.items() if is_there)
    chosen = first if settings.device == "auto" else settings.device
    if not there[chosen]:
        raise InputError(f"params.yaml: torch.device: this machine has no {chosen}; say auto or cpu")
    return torch.device(chosen)


def reproducibly(name: str, run: Callable[[], Result]) -> Result:
    """Run `run` so that the same inputs give the same bytes; where torch cannot, say so and run it without.

    Strictly first: asked for a warning instead, torch's attention on CUDA takes the way that differs from run to run,
    though it has another.

    Args:
        name: of the stage.
        run: may be called twice; the second time from its beginning.
    """
    torch.use_deterministic_algorithms(True)
    try:
        return run()
    except RuntimeError as error:
        if _NOT_DETERMINISTIC not in str(error):
            raise
        operator = str(error).split(_NOT_DETERMINISTIC)[0].split("\n")[-1].removeprefix("RuntimeError: ").strip()
    hint = " (a transformer that resizes its position table needs none with `model_kwargs: {img_size: ...}`)"
    print(
        f"{name}: torch has no deterministic {operator}: a rerun's numbers will differ a little from these"
        f"{hint if 'upsample' in operator else ''}"
    )
    gc.collect()  # what the first run held on the device
    torch.use_deterministic_algorithms(True, warn_only=True)
    return run()
