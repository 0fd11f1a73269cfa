"""The state of an unfinished training: the next run goes on from its last finished epoch, to the same bytes.

The state is a file under .resume/, which git and DVC ignore: DVC deletes a stage's outputs before it runs the stage.
It is written in one step, never unpickled, and used only by a training with the same key and in the same bytes.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from podium.core import code_digest, tables
from podium.core.pixels import PixelPack
from podium.models.preprocessing import Preprocessing
from podium.training.phase import FoldImages, TrainingJob

# A kill without warning loses what follows the last save. Saves are this far apart, and take a twentieth of the time.
SECONDS_BETWEEN = 10.0
COST = 20.0

CODE = ("core", "models", "training")  # packages of podium that training imports; dvc.yaml lists the same
LIBRARIES = (
    "albucore",
    "albumentations",
    "dvclive",
    "numpy",
    "opencv-python-headless",
    "timm",
    "torch",
    "torchvision",
)
_DIGEST = 64  # characters of a SHA-256


class Stateful(Protocol):
    """A model, an optimizer, a scaler or an average."""

    def state_dict(self) -> dict[str, Any]:
        """Return what training changes in it."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Set it to a state."""


@dataclass(frozen=True)
class TrainingState:
    """What the epochs so far have made.

    Random streams are not in it: each epoch derives its own seeds. Neither is the schedule, which follows from the
    number of updates.

    Attributes:
        epochs: number of finished ones.
        updates: optimizer steps so far.
        parts: name -> state_dict of the model, the optimizer, the scaler, and the averages that there are.
        curves: for each epoch, name -> value of what it logged.
    """

    epochs: int
    updates: int
    parts: dict[str, Any]
    curves: list[dict[str, float]]

    def load_into(self, parts: Mapping[str, Stateful]) -> None:
        """Set each part to its state."""
        for name, part in parts.items():
            part.load_state_dict(self.parts[name])


class StateFile:
    """The file of a training's state.

    Args:
        path: of the file.
        job: of the training.
        key: of the training; called once, when it is needed.
    """

    def __init__(self, path: Path, job: TrainingJob, key: Callable[[], str]) -> None:
        self.path, self.name, self.total = path, job.name, job.settings.epochs
        self._make_key = key
        self._unsaved: TrainingState | None = None
        self._saved_epochs = 0
        self._last_save, self._seconds = time.monotonic(), 0.0

    @cached_property
    def _key(self) -> str:
        return self._make_key()

    def read(self) -> TrainingState | None:
        """Return the state to go on from, or None; a state of another training, or a damaged one, is deleted."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        key, digest, payload = content[:_DIGEST], content[_DIGEST : 2 * _DIGEST], content[2 * _DIGEST :]
        if digest != hashlib.sha256(payload).hexdigest().encode():
            self._drop(f"{self.path} is damaged")
            return None
        if key != self._key.encode():
            self._drop("settings, code, libraries, data or weights have changed since it was interrupted")
            return None
        state = TrainingState(**torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True))
        print(f"{self.name}: goes on from epoch {state.epochs + 1} of {self.total}, where an earlier run ended")
        self._saved_epochs = state.epochs
        return state

    def keep(self, state: TrainingState) -> None:
        """Save a state, or keep a copy in memory until the next save is due."""
        self._unsaved = state
        if time.monotonic() - self._last_save >= max(SECONDS_BETWEEN, COST * self._seconds):
            self.save()
        else:
            self._unsaved = _copied(state)

    def save(self) -> None:
        """Write the last state, unless it is written; a full disk stops no training."""
        if self._unsaved is None:
            return
        key, started = self._key, time.monotonic()
        try:
            _write(self.path, key, self._unsaved)
            self._saved_epochs = self._unsaved.epochs
        except (OSError, MemoryError) as error:
            print(f"{self.name}: cannot save its state ({error}): after a kill, epochs since the last save are lost")
        self._unsaved = None
        self._last_save = time.monotonic()
        self._seconds = self._last_save - started

    def remove(self) -> None:
        """Delete the file of a training that is finished, and what a kill left of a write."""
        self._unsaved = None
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()

    @property
    def advice(self) -> str:
        """Say where the next run begins."""
        return f"{self.name}: `dvc repro` goes on from epoch {self._saved_epochs + 1} of {self.total}"

    def _drop(self, why: str) -> None:
        print(f"{self.name}: starts from epoch 1: {why}")
        self.path.unlink(missing_ok=True)


def _write(path: Path, key: str, state: TrainingState) -> None:
    """Write a state so that a kill or a power cut leaves the old file or the new one.

    torch writes to memory, because on a full disk its own writer ends the process.
    """
    buffer = io.BytesIO()
    torch.save({name: getattr(state, name) for name in ("epochs", "updates", "parts", "curves")}, buffer)
    payload = buffer.getbuffer()
    with tables.replacing(path) as temporary, temporary.open("wb") as opened:
        opened.write(key.encode())
        opened.write(hashlib.sha256(payload).hexdigest().encode())
        opened.write(payload)
        opened.flush()
        os.fsync(opened.fileno())
    folder = os.open(path.parent, os.O_RDONLY)  # the new name must reach the disk too
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _copied(state: TrainingState) -> TrainingState:
    return TrainingState(state.epochs, state.updates, _on_cpu(state.parts), list(state.curves))


def _on_cpu(value: Any) -> Any:
    """Copy the tensors in nested maps and lists to the CPU's memory."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {name: _on_cpu(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_on_cpu, value))
    return value


def training_key(
    job: TrainingJob,
    data: FoldImages,
    *,
    pack: PixelPack,
    preprocessing: Preprocessing,
    start: str,
    device: torch.device,
    others: Sequence[Path] = (),
) -> str:
    """Return a hash of everything that determines a training.

    Args:
        job: its settings.
        data: the images of its fold and their classes.
        pack: their pixels; the whole file is read, because sizes and times do not tell what a file holds.
        preprocessing: of the images.
        start: `weights_digest` of the model before the first epoch: the weights of the phase before, the probe's
            classifier, and what the seed draws.
        device: of the training; on another kind of processor the sums round differently.
        others: further files that it reads.
    """
    parts = {
        "job": [job.phase, job.member, job.fold],
        "settings": [part.model_dump(mode="json") for part in (job.model, job.settings, job.torch)],
        "images": [data.classes, [[part.image_ids, part.targets.tolist()] for part in (data.train, data.held_out)]],
        "pixels": [tables.file_hash(path) for path in (pack.path, *others)],
        "preprocessing": asdict(preprocessing),
        "start": start,
        "code": code_digest.of(CODE),
        "libraries": [version(name) for name in LIBRARIES],
        "device": [device.type, _processor(device)],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def weights_digest(model: nn.Module) -> str:
    """Return a hash of a model's names and values."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.cpu.get_cpu_capability()
