"""One training in several processes of this machine, on a GPU each (`torch.devices`).

Each process computes its slice of every batch and keeps the whole model. Before an optimizer step the gradients are
summed over the processes, so all of them make the step that one process would make with the whole batch. The first
process is the stage itself: it alone predicts, writes and saves. It starts the others and ends them.

The gradients are summed after the backward pass, in a fixed order, and not while it runs, as DistributedDataParallel
does. That one chooses its order in the first step of a process, so a resumed training of three or more processes would
end with other last digits, and it does not know parameters that are frozen in some epochs only (`head_only_epochs`).
"""

import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from multiprocessing import get_context, get_start_method, parent_process, set_start_method
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Sampler

from podium.core import interrupts
from podium.core.errors import InputError
from podium.core.workers import make_socket_folder
from podium.models import devices
from podium.training.phase import TrainingJob
from podium.training.train_images import Draw, EpochBatches

TIMEOUT = timedelta(hours=1)  # of an exchange: while the first process predicts the held-out fold, the others wait
GRACE = 30.0  # seconds until a process that has lost another one must have noticed; NCCL may wait forever
BUCKET = 2**24  # values that are summed at once
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_FINISHED, _LOST_ANOTHER = "finished", "lost another"


class LostProcessError(Exception):
    """An exchange with the other processes has failed."""


@dataclass(frozen=True, kw_only=True)
class OneProcess:
    """The process of a training that has no other: it computes whole batches and exchanges nothing."""

    rank: int = 0
    count: int = 1

    def slices(self, batches: EpochBatches) -> Sampler[list[Draw]]:
        """Return this process's slice of each batch."""
        return batches

    def prepared(self, model: nn.Module) -> nn.Module:
        """Return the model with batch norms that see whole batches."""
        return model

    def share(self, loss: torch.Tensor) -> torch.Tensor:
        """Return what the mean loss of this process's slice adds to the loss of the whole batch."""
        return loss

    def total(self, share: torch.Tensor) -> torch.Tensor:
        """Return the loss of the whole batch, of every process's share."""
        return share

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace the gradients by their sums over the processes."""


@dataclass(frozen=True, kw_only=True)
class ProcessGroup(OneProcess):
    """One of several processes of a training.

    Attributes:
        rank: 0 for the stage itself.
        count: number of processes.
        batch_size: of the whole batch.
        device: of this process's model.
        key: of the phase's settings, for errors.
    """

    batch_size: int
    device: torch.device
    key: str

    @cached_property
    def _places(self) -> list[int]:
        return places(self.batch_size, self.rank, self.count)

    def slices(self, batches: EpochBatches) -> Sampler[list[Draw]]:
        """Return this process's slice of each batch."""
        return BatchSlices(batches, self._places)

    def prepared(self, model: nn.Module) -> nn.Module:
        """Return the model with batch norms that see whole batches.

        Raises:
            InputError: batch norms learn statistics on a CPU, where processes cannot share them.
        """
        if not any(isinstance(module, _BatchNorm) and module.training for module in model.modules()):
            return model
        if self.device.type != "cuda":
            raise InputError(
                f"params.yaml: torch.devices: {self.count} processes on a CPU cannot share the statistics of batch"
                f" norms; set devices: 1, {self.key}.frozen: batch_norms, or a backbone without batch norms"
            )
        converted: nn.Module = convert_sync_batchnorm(model)
        return converted

    def share(self, loss: torch.Tensor) -> torch.Tensor:
        """Return what the mean loss of this process's slice adds to the loss of the whole batch."""
        return loss * (len(self._places) / self.batch_size)

    def total(self, share: torch.Tensor) -> torch.Tensor:
        """Return the loss of the whole batch, of every process's share."""
        total = share.detach().clone()
        _sum(total)
        return total

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace the gradients by their sums over the processes."""
        for gradients in _buckets([p.grad for p in model.parameters() if p.grad is not None]):
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            _sum(flat)
            sizes = [gradient.numel() for gradient in gradients]
            for gradient, total in zip(gradients, torch.split(flat, sizes), strict=True):
                gradient.copy_(total.view(gradient.shape))


class BatchSlices(Sampler[list[Draw]]):
    """The draws of some places of every batch."""

    def __init__(self, batches: EpochBatches, chosen: Sequence[int]) -> None:
        self.batches, self.chosen = batches, list(chosen)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield the slice of each batch."""
        for draws in self.batches:
            yield [draws[place] for place in self.chosen]


def places(batch_size: int, rank: int, count: int) -> list[int]:
    """Return the places of a process's slice in a batch: some of the first half, and those that mixup pairs them with.

    timm mixes each image with the one at the mirrored place, so every pair lies in one slice, at mirrored places again.
    Slices differ by at most two images.

    >>> places(8, 0, 2), places(8, 1, 2)
    ([0, 1, 6, 7], [2, 3, 4, 5])
    """
    half = -(-batch_size // 2)
    first = range(half * rank // count, half * (rank + 1) // count)
    mirrored = (batch_size - 1 - place for place in reversed(first))
    return [*first, *(place for place in mirrored if place not in first)]


def require(n_devices: int, asked: str, device: torch.device) -> None:
    """Check that this machine has the GPUs of `torch.devices`.

    Args:
        n_devices: torch.devices.
        asked: torch.device; "cpu" runs the processes on the CPU.
        device: that it means here.

    Raises:
        InputError: it has fewer; names the key.
    """
    n_gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    if n_devices > max(1, n_gpus) and asked != "cpu":
        raise InputError(
            f"params.yaml: torch.devices: {n_devices}, but this process sees {n_gpus} CUDA GPUs; set it to"
            f" {max(1, n_gpus)} (CUDA_VISIBLE_DEVICES may hide some)"
        )


def require_images(n_devices: int, batch_size: int, key: str) -> None:
    """Check that each process gets a pair of images of every batch.

    Raises:
        InputError: the batches are too small; names the key.
    """
    if n_devices > 1 and batch_size < 2 * n_devices:
        raise InputError(
            f"params.yaml: {key}.batch_size: {batch_size} is too small for torch.devices: {n_devices}, which divides"
            f" every batch; set it to at least {2 * n_devices}"
        )


def run(job: TrainingJob, device: torch.device, function: Callable[[torch.device, OneProcess], None]) -> None:
    """Call `function` with its device and process in each of the job's processes; return when this one's has ended.

    Args:
        job: with torch.devices.
        device: of this process, the first one.
        function: picklable.

    Raises:
        InputError: the machine has too few GPUs, batches are too small, or another process has failed or ended.
    """
    if job.torch.devices == 1:
        function(device, OneProcess())
        return
    require(job.torch.devices, job.torch.device, device)
    require_images(job.torch.devices, job.settings.batch_size, job.key)
    make_socket_folder()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        with _Followers(job, function, store), _joined(job, 0, device, store) as process:
            function(device, process)


@contextmanager
def _joined(job: TrainingJob, rank: int, device: torch.device, store: Path) -> Iterator[ProcessGroup]:
    """Join the job's processes; they meet in a file, and their sockets are those of this machine alone."""
    os.environ |= {"GLOO_SOCKET_IFNAME": _LOOPBACK, "NCCL_SOCKET_IFNAME": _LOOPBACK}
    count, is_cuda = job.torch.devices, device.type == "cuda"
    if is_cuda:
        torch.cuda.set_device(rank)
    with _exchange():
        dist.init_process_group(
            "nccl" if is_cuda else "gloo",
            store=dist.FileStore(str(store), count),  # type: ignore[attr-defined]
            rank=rank,
            world_size=count,
            timeout=TIMEOUT,
        )
    try:
        yield ProcessGroup(rank=rank, count=count, batch_size=job.settings.batch_size, device=device, key=job.key)
        if is_cuda:
            torch.cuda.synchronize()  # the last exchange needs all processes
    except BaseException:
        dist.distributed_c10d._abort_process_group()  # waits for no other process
        raise
    dist.destroy_process_group()


@contextmanager
def _exchange() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(str(error)) from error


def _sum(values: torch.Tensor) -> None:
    """Replace values by their sums over the processes."""
    with _exchange():
        dist.all_reduce(values)


def _buckets(tensors: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Divide tensors into lists of at most BUCKET values, or of one tensor."""
    bucket, size = list[torch.Tensor](), 0
    for tensor in tensors:
        if bucket and size + tensor.numel() > BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel()
    if bucket:
        yield bucket


class _Followers:
    """The processes beside the first one, and a thread that notices when one of them fails.

    A process that waits for another one in NCCL can neither raise an error nor take a signal. So the thread ends this
    process if it has not ended by itself some time after another one has failed. The saved state stays.
    """

    def __init__(self, job: TrainingJob, function: Callable[..., None], store: Path) -> None:
        self._name = job.name
        self._failure: InputError | RuntimeError | None = None
        self._failed, self._over = threading.Event(), threading.Event()
        context = get_context("forkserver")  # imports torch once, and unlike fork inherits no threads
        context.set_forkserver_preload(["podium.training.trainer"])
        self._processes: dict[Connection, Any] = {}
        for rank in range(1, job.torch.devices):
            ours, theirs = context.Pipe()
            last = {"connection": theirs, "method": get_start_method()}
            process = context.Process(target=_follow, args=(job, rank, function, store), kwargs=last)
            process.start()
            theirs.close()
            self._processes[ours] = process
        self._watch = threading.Thread(target=self._wait_for_all, daemon=True)
        self._watch.start()

    def __enter__(self) -> None:
        """Begin what needs them."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """End the other processes; if an exchange with them failed, raise the error of the first one that failed."""
        if isinstance(error, LostProcessError):
            self._failed.wait(GRACE)
        self._over.set()
        if error is None:
            self._watch.join(GRACE)
        for process in self._processes.values():
            process.kill()
        self._watch.join()
        for process in self._processes.values():
            process.join()
        if error is None and self._failure is not None:
            raise self._failure
        if isinstance(error, LostProcessError):
            raise self._failure or InputError(
                f"{self._name}: a process of `torch.devices` has not answered for {TIMEOUT}: {error}"
            ) from None

    def _wait_for_all(self) -> None:
        """Wait until all have ended; note the first failure."""
        waiting = set(self._processes)
        while waiting:
            ready = [one for one in wait(waiting) if isinstance(one, Connection)]
            heard = {one: _received(one) for one in ready}
            waiting -= set(heard)
            # one that says why it failed comes before those that were lost with it
            for one in sorted(ready, key=lambda one: heard[one] is None):
                self._note(self._processes[one], heard[one])

    def _note(self, process: Any, heard: Any) -> None:
        if heard in (_FINISHED, _LOST_ANOTHER) or self._over.is_set() or self._failure is not None:
            return
        where = f"{self._name}: process {process.pid} of `torch.devices`"
        if isinstance(heard, str):
            self._failure = RuntimeError(f"{where} failed:\n{heard}")
        elif heard is not None:
            self._failure = heard
        else:
            process.join()
            how = f"signal {-process.exitcode}" if process.exitcode < 0 else f"status {process.exitcode}"
            self._failure = InputError(
                f"{where} has ended with {how} (SIGKILL, 9, may mean that memory was full); `dvc repro` goes on from"
                " the last saved epoch"
            )
        self._failed.set()
        threading.Thread(target=self._end_this_process, daemon=True).start()

    def _end_this_process(self) -> None:
        if not self._over.wait(GRACE):
            print(f"ERROR: {self._failure}", file=sys.stderr, flush=True)
            for process in self._processes.values():
                process.kill()
            os._exit(1)


def _received(connection: Connection) -> Any:
    """Return what a process says at its end; None if it ended without a word."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None


def _follow(
    job: TrainingJob, rank: int, function: Callable[..., None], store: Path, *, connection: Connection, method: str
) -> None:
    """Be one of the processes beside the first one: print nothing, end with it, and hand it errors."""
    interrupts.leave_to_parent()
    set_start_method(method, force=True)  # of loaders, as in the first one: those of a fork server would outlive it
    first = parent_process()
    if first is None or first.pid is None:
        return
    pid = first.pid
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))  # it saves its state and ends all
    threading.Thread(target=_end_after, args=(first,), daemon=True).start()
    os.environ["PODIUM_PROGRESS"] = "0"
    warnings.simplefilter("ignore")  # the first process shows the same ones
    last_words: str | InputError = _FINISHED
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            device = devices.start(job.torch)
            with _joined(job, rank, device, store) as process:
                function(device, process)
    except LostProcessError:
        last_words = _LOST_ANOTHER
    except InputError as error:
        last_words = error
    except BaseException:
        last_words = traceback.format_exc()
    connection.send(last_words)


def _end_after(first: Any) -> None:
    """End this process when the first one has died, e.g. by `kill -9`."""
    first.join()
    os._exit(1)
