"""The training loop of every phase: `fit(..., mix=...)`.

The final weights are those of the last step, their moving average, or their mean over the last epochs. They are never
those of the epoch with the best score on the held-out fold: choosing a checkpoint by the score that is reported makes
the score optimistic.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from podium.core import seeding
from podium.core.errors import InputError
from podium.core.progress import shown
from podium.models.backbones import head_names, is_head, norms
from podium.models.devices import HostCopy, Numerics
from podium.models.preprocessing import Preprocessing
from podium.training import compiling
from podium.training.distributed import OneProcess
from podium.training.mixup import Mix
from podium.training.recomputing import StatisticsKept
from podium.training.resume import Stateful, TrainingState


@dataclass(frozen=True)
class Epoch:
    """The record of one epoch of training."""

    number: int  # from 0
    loss: float  # mean over its batches
    lr: float  # of a parameter group without a factor, at the end of the epoch


def fit(
    model: nn.Module,
    batches: Iterator[Any],
    *,
    epochs: int,
    steps_per_epoch: int,
    optimizer: torch.optim.Optimizer,
    scheduler: Scheduler,
    loss: nn.Module,
    mix: Mix,
    preprocessing: Preprocessing,
    numerics: Numerics,
    compiled: bool,
    recomputed: bool = False,
    accumulate: int,
    clip_grad: float | None,
    ema_decay: float | None,
    average_epochs: int,
    frozen: str,
    head_only_epochs: int,
    seed: int,
    name: str,
    on_epoch: Callable[[Epoch, nn.Module], None],
    start: TrainingState | None = None,
    on_state: Callable[[int, int, dict[str, Any]], None] | None = None,
    process: OneProcess | None = None,
) -> nn.Module:
    """Train a model in place and return the final model (itself, or an average of its weights).

    Args:
        model: on the device of `numerics`.
        batches: for each epoch that is left, steps_per_epoch pairs of uint8 images (batch, 3, size, size) and class
            indices (batch,).
        epochs: passes over the images.
        steps_per_epoch: batches of one epoch.
        optimizer: over the model's trainable parameters.
        scheduler: updated with the number of batches so far before each optimizer step.
        loss: of logits and soft targets (batch, n_classes).
        mix: converts a batch and its targets to mixed images and soft targets.
        preprocessing: with mean and std.
        numerics: device, precision, memory layout.
        compiled: whether torch.compile runs the forward pass.
        recomputed: whether the backward pass computes activations again (recomputing.enable).
        accumulate: batches whose gradients are averaged for one optimizer step; an epoch's last step may have fewer.
        clip_grad: largest norm of the gradients of one optimizer step; None for no clipping.
        ema_decay: of a moving average of the weights, with timm's warm-up; None for no average.
        average_epochs: number of last epochs after each of which the weights enter their mean; 1 for no mean.
        frozen: "nothing", "batch_norms", "backbone" or "all_but_norms".
        head_only_epochs: number of first epochs in which only the classifier is trained.
        seed: of dropout and stochastic depth; each epoch derives its own.
        name: of the training, for the progress bar and errors.
        on_epoch: called after each epoch with its record and the model that would be final.
        start: the state after the first epochs, to go on from there.
        on_state: called after each epoch but the last with the number of epochs, the number of updates and the parts
            of a TrainingState, which the next epoch will change.
        process: one of several, each of which computes a slice of every batch; None for a single process.

    Raises:
        InputError: the loss is not finite; names the training, the epoch and the step.
    """
    average = None if ema_decay is None else ModelEmaV3(model, decay=ema_decay, use_warmup=True)
    mean: AveragedModel | None = None
    forward = torch.compile(model) if compiled else model
    watch = compiling.watch(name) if compiled else nullcontext()
    kept = StatisticsKept(model) if recomputed else nullcontext()
    scaler = torch.amp.GradScaler(numerics.device.type, enabled=numerics.precision == "fp16")
    process = process or OneProcess()
    own = [process.rank] if process.rank else []  # the others draw other masks for their slices
    first, updates = 0, 0
    if start is not None:
        first, updates = start.epochs, start.updates
        mean = AveragedModel(model, avg_fn=_mean, use_buffers=True) if "mean" in start.parts else None
        start.load_into(_parts(model, optimizer, scaler, average, mean))
    bar = tqdm(
        total=epochs * steps_per_epoch, initial=first * steps_per_epoch, desc=name, disable=not shown(), leave=False
    )
    for epoch in range(first, epochs):
        torch.manual_seed(seeding.derive(seed, "dropout", epoch, *own))
        set_mode(model, "backbone" if epoch < head_only_epochs else frozen)
        losses = _Losses(name, epoch)
        for step in range(steps_per_epoch):
            images, targets = next(batches)
            images, soft_targets = mix(
                preprocessing.normalise(numerics.moved(images)), numerics.moved(targets), epoch, step
            )
            with watch, numerics.autocast():
                logits = forward(numerics.layout(images))
            batch_loss = process.share(loss(logits.float(), soft_targets))
            losses.add(process.total(batch_loss))
            group_start = step - step % accumulate
            group = min(accumulate, steps_per_epoch - group_start)
            with watch, kept:
                scaler.scale(batch_loss / group).backward()  # type: ignore[no-untyped-call]
            if step == group_start + group - 1:
                scheduler.step_update(updates)  # before the update, so that the first one has the first lr
                process.sum_gradients(model)
                _update(model, optimizer, scaler, clip_grad)
                updates += 1
                if average is not None:
                    average.update(model, step=updates)
            bar.update()
            bar.set_postfix(epoch=f"{epoch + 1}/{epochs}", loss=losses.shown, refresh=False)
        if average_epochs > 1 and epoch >= epochs - average_epochs:
            mean = AveragedModel(model, avg_fn=_mean, use_buffers=True) if mean is None else mean
            mean.update_parameters(model)
        averaged = average if mean is None else mean
        final = model if averaged is None else averaged.module
        on_epoch(Epoch(epoch, losses.mean(), _base_lr(optimizer)), final)
        if on_state is not None and epoch + 1 < epochs:
            parts = _parts(model, optimizer, scaler, average, mean)
            on_state(epoch + 1, updates, {part: value.state_dict() for part, value in parts.items()})
    bar.close()
    return final


def set_mode(model: nn.Module, frozen: str) -> None:
    """Set training mode with "nothing", the "batch_norms", the "backbone" or "all_but_norms" frozen.

    Frozen batch norms do not change their statistics and get no gradient. A frozen backbone runs as in evaluation.
    With "all_but_norms" the backbone runs as in evaluation too, but norms of every kind learn their weights, and batch
    norms update their statistics.
    """
    model.train()
    whole = frozen in {"nothing", "batch_norms"}
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_(whole or is_head(parameter_name, model))
    if not whole:
        model.eval()
        for head in head_names(model):
            model.get_submodule(head).train()
    if frozen == "all_but_norms":
        for norm in norms(model):
            norm.train()
            for parameter in norm.parameters(recurse=False):  # not recursive: timm puts an activation inside some norms
                parameter.requires_grad_(True)
    elif frozen == "batch_norms":
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
                module.requires_grad_(False)


def _parts(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    average: nn.Module | None,
    mean: nn.Module | None,
) -> dict[str, Stateful]:
    """Return by name what training changes."""
    parts: dict[str, Stateful | None] = {"model": model, "optimizer": optimizer, "scaler": scaler}
    parts |= {"average": average, "mean": mean}
    return {name: part for name, part in parts.items() if part is not None}


def _update(
    model: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, clip_grad: float | None
) -> None:
    if clip_grad is not None:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), clip_grad)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)


def _mean(mean: torch.Tensor, latest: torch.Tensor, n_averaged: torch.Tensor | int) -> torch.Tensor:
    """Add the latest value to the mean of `n_averaged` others; counts and masks are the latest."""
    return mean + (latest - mean) / (n_averaged + 1) if mean.is_floating_point() else latest


def diverged(name: str, problem: str, epoch: int, step: int | None = None) -> InputError:
    """Return the error for a training whose numbers are no longer finite: where, and what to do."""
    where = f"epoch {epoch + 1}" + ("" if step is None else f", step {step + 1}")
    return InputError(
        f"{name}: {problem} at {where}: lower lr, raise warmup_epochs, clip gradients (clip_grad: 1) or set"
        " precision: fp32"
    )


class _Losses:
    """The losses of an epoch's steps; each is read after the next one, so that a GPU always has work.

    A loss that is not finite is found one step late, and the error names its own step.
    """

    def __init__(self, name: str, epoch: int) -> None:
        self._name, self._epoch = name, epoch
        self._values: list[float] = []
        self._coming: HostCopy | None = None

    def add(self, loss: torch.Tensor) -> None:
        """Take the loss of the next step.

        Raises:
            InputError: the loss before it is not finite.
        """
        coming = HostCopy(loss)
        self._read()
        self._coming = coming

    def mean(self) -> float:
        """Return the mean of all losses.

        Raises:
            InputError: the last one is not finite.
        """
        self._read()
        return math.fsum(self._values) / len(self._values)

    @property
    def shown(self) -> str:
        """Return the last loss that is known, for the progress bar."""
        return f"{self._values[-1]:.4f}" if self._values else ""

    def _read(self) -> None:
        if self._coming is None:
            return
        value, self._coming = self._coming.read().item(), None
        if not math.isfinite(value):
            raise diverged(self._name, f"the loss is {value}", self._epoch, len(self._values))
        self._values.append(value)


def _base_lr(optimizer: torch.optim.Optimizer) -> float:
    group = optimizer.param_groups[-1]
    return float(group["lr"] / group.get("lr_scale", 1.0))
