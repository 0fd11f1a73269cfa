"""Set device, threads and precision of a torch process, so that the same inputs give the same bytes."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from podium.core import freed_memory
from podium.core.errors import InputError
from podium.models.settings import TorchSettings

Result = TypeVar("Result")

_NOT_DETERMINISTIC = "does not have a deterministic implementation"  # in torch's own error
# Of CUDA, of the CPU's allocator, and of oneDNN, which computes convolutions on a CPU and has one text for all errors
_NO_MEMORY = ("out of memory", "can't allocate memory", "could not create a primitive")
_WORKER_DIED = "DataLoader worker"
_PYTHON_DEFAULT = (700, 10, 10)  # thresholds of garbage collection; cli.run starts with others
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Numerics:
    """The device, precision and memory layout of a model.

    Attributes:
        device: of the model and its batches.
        precision: of the forward pass: "fp32", "bf16", or "fp16" (CUDA only).
        channels_last: memory layout of the model and its batches.

    Raises:
        InputError: fp16 on a device other than CUDA.
    """

    device: torch.device
    precision: str = "fp32"
    channels_last: bool = False

    def __post_init__(self) -> None:
        if self.precision == "fp16" and self.device.type != "cuda":
            raise InputError(f"precision fp16 needs a CUDA device, this is {self.device.type}; set bf16 or fp32")

    def place(self, model: nn.Module) -> nn.Module:
        """Move a model to the device and into the memory layout."""
        return model.to(self.device, memory_format=self._memory_format())  # type: ignore[call-overload,no-any-return]

    def moved(self, values: torch.Tensor) -> torch.Tensor:
        """Copy a tensor to the device; from pinned memory a GPU copies it while this process goes on."""
        return values.to(self.device, non_blocking=self.device.type == "cuda")

    def layout(self, images: torch.Tensor) -> torch.Tensor:
        """Convert a batch (batch, 3, height, width) on the device to the model's memory layout."""
        return images.contiguous(memory_format=self._memory_format())

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context manager of a forward pass."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=_DTYPES[self.precision])

    def _memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


class HostCopy:
    """A tensor on its way to the CPU: the copy starts now, and only `read` waits for it.

    Without it a GPU would have nothing to do from the end of a step until the next one is launched.
    """

    def __init__(self, values: torch.Tensor) -> None:
        self._values = values.detach().to("cpu", non_blocking=values.is_cuda)  # into pinned memory
        self._copied = torch.cuda.Event() if values.is_cuda else None  # type: ignore[no-untyped-call]
        if self._copied is not None:
            self._copied.record()

    def read(self) -> torch.Tensor:
        """Return the values on the CPU."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._values


def start(settings: TorchSettings) -> torch.device:
    """Set threads and determinism for this process and return the device ("auto": CUDA, then Apple's MPS, then CPU).

    Raises:
        InputError: this machine does not have the device.
    """
    gc.freeze()  # imported modules stay alive; later cycles are collected, because they may hold a device's memory
    gc.set_threshold(*_PYTHON_DEFAULT)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this setting
    torch.set_num_threads(settings.threads)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    first = next(name for name, is_available in available.items() if is_available)
    chosen = first if settings.device == "auto" else settings.device
    if not available[chosen]:
        raise InputError(f"params.yaml: torch.device: this machine has no {chosen}; set auto or cpu")
    choose_kernels(strict=settings.reproducible == "strict" or chosen != "cuda")
    if chosen == "cpu":
        freed_memory.keep()
    return torch.device(chosen)


def choose_kernels(*, strict: bool) -> None:
    """Use only kernels that give the same bytes in each run, or (not strict) the fastest ones of a CUDA GPU.

    The fast ones multiply float32 matrices in TF32, with 10 bits of mantissa, and cuDNN tries its kernels on the first
    batch of each shape. cuDNN's convolutions of float32 are in TF32 in both cases, because that is torch's default.
    """
    torch.use_deterministic_algorithms(strict)
    # filling new memory, which finds operators that read it uninitialised, takes up to a quarter of a training's time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not strict
    torch.set_float32_matmul_precision("highest" if strict else "high")


@contextmanager
def memory_explained(name: str, batch: str, remedy: str) -> Iterator[None]:
    """Turn torch's errors about memory into ones that say what to set.

    Args:
        name: of the stage.
        batch: what needs the memory, e.g. "batches of 32 images of 224 x 224 pixels".
        remedy: the settings that make it smaller.

    Raises:
        InputError: the device has no memory left, or a process that loads images has died.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        if isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY):
            raise InputError(f"{name}: the device has no memory left for {batch}: {remedy}, or free it") from None
        if _WORKER_DIED in text:
            raise InputError(
                f"{name}: a process that loads images died ({text.splitlines()[0]}). If memory or /dev/shm is too small"
                " (in docker: --shm-size), set PODIUM_WORKERS=0: the results are the same"
            ) from None
        raise


def reproducibly(name: str, run: Callable[[], Result]) -> Result:
    """Run `run` deterministically; if torch cannot, print that and run it again without.

    With `torch.reproducible: fast`, as `start` has set it, this only runs it.

    The first attempt is strict (an error, not a warning). In torch's warning mode, its attention on CUDA uses the
    kernel that differs from run to run, although it has a deterministic one.

    Args:
        name: of the stage.
        run: may be called a second time, from its beginning.
    """
    if not torch.are_deterministic_algorithms_enabled():
        return run()
    torch.use_deterministic_algorithms(True)
    try:
        return run()
    except RuntimeError as error:
        if _NOT_DETERMINISTIC not in str(error):
            raise
        operator = str(error).split(_NOT_DETERMINISTIC)[0].split("\n")[-1].removeprefix("RuntimeError: ").strip()
    hint = " (a transformer that resizes its position embeddings avoids it with `model_kwargs: {img_size: ...}`)"
    print(
        f"{name}: torch has no deterministic {operator}: the numbers of a rerun will differ slightly"
        f"{hint if 'upsample' in operator else ''}"
    )
    gc.collect()  # frees the first run's memory on the device
    torch.use_deterministic_algorithms(True, warn_only=True)
    return run()
