"""timm's optimizers and learning rate schedules, with a separate lr factor for the classifier."""

import inspect
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_class, get_optimizer_info
from timm.optim._param_groups import param_groups_layer_decay, param_groups_weight_decay
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import nn

from podium.core.errors import InputError
from podium.models.backbones import is_head


def build_optimizer(
    model: nn.Module,
    *,
    name: str,
    lr: float,
    momentum: float | None,
    weight_decay: float,
    layer_decay: float | None,
    head_lr_factor: float,
) -> torch.optim.Optimizer:
    """Build timm's optimizer over the model's trainable parameters.

    Biases, norms and what the model names in timm's `no_weight_decay` (position tables, class tokens) get no weight
    decay. With `layer_decay`, the lr of a layer group is that of the next group times
    `layer_decay` (Bao et al. 2021, arXiv 2106.08254). The schedule multiplies a group's lr by its `lr_scale`.

    Raises:
        InputError: the optimizer is unknown.
    """
    spared: tuple[str, ...] = tuple(model.no_weight_decay()) if hasattr(model, "no_weight_decay") else ()  # type: ignore[operator]
    if layer_decay is None:
        groups = param_groups_weight_decay(model, weight_decay, no_weight_decay_list=spared)
    else:
        groups = param_groups_layer_decay(model, weight_decay, no_weight_decay_list=spared, layer_decay=layer_decay)
    if head_lr_factor != 1:
        groups = _with_head_factor(model, groups, head_lr_factor)
    kwargs = {} if momentum is None else {"momentum": momentum}
    check_optimizer(name, momentum)
    built: torch.optim.Optimizer = create_optimizer_v2(groups, opt=name, lr=lr, weight_decay=weight_decay, **kwargs)
    return built


def check_optimizer(name: str, momentum: float | None) -> None:
    """Check an optimizer's name and whether it uses a momentum.

    Raises:
        InputError: timm does not know the optimizer, the training loop cannot run it, or it has no momentum.
    """
    try:
        arguments = inspect.signature(get_optimizer_class(name, bind_defaults=False)).parameters
    except ValueError as error:
        raise InputError(f"optimizer: {error}") from None
    if get_optimizer_info(name).second_order:
        raise InputError(
            f"optimizer {name} needs second derivatives, which the training loop does not compute; choose another"
        )
    if momentum is not None and "momentum" not in arguments:
        raise InputError(f"optimizer {name} has no momentum setting: remove momentum {momentum}")


def build_scheduler(
    optimizer: torch.optim.Optimizer,
    *,
    name: str,
    epochs: int,
    updates_per_epoch: int,
    warmup_epochs: float,
    min_lr: float,
    decay_epochs: tuple[int, ...],
    decay_rate: float,
) -> Scheduler:
    """Build timm's schedule, counted in optimizer updates: `constant`, `cosine` (to `min_lr`), `step` (`decay_epochs`).

    The lr rises linearly over `warmup_epochs`, which count among `epochs`. The first update has the lr of one step of
    that rise: with an lr of zero it would be lost.
    """
    warmup_updates = int(warmup_epochs * updates_per_epoch)
    warmup_lr = optimizer.defaults["lr"] / (warmup_updates + 1)  # then every update of the warm-up rises by this
    # timm's multistep schedule compares t + 1, so the lr would fall one update early; adding half an update corrects
    # this, and rounding does not matter
    milestones = [epoch + 0.5 / updates_per_epoch for epoch in decay_epochs]
    kind: dict[str, Any] = {
        "constant": {"sched": "step", "decay_epochs": epochs + 1, "decay_rate": 1.0},
        "cosine": {"sched": "cosine", "min_lr": min_lr},
        "step": {"sched": "multistep", "decay_milestones": milestones, "decay_rate": decay_rate},
    }[name]
    built, _ = create_scheduler_v2(
        optimizer,
        num_epochs=epochs,
        warmup_epochs=warmup_epochs,
        warmup_lr=warmup_lr,
        step_on_epochs=False,
        updates_per_epoch=updates_per_epoch,
        **kind,
    )
    return built


def _with_head_factor(model: nn.Module, groups: list[dict[str, Any]], factor: float) -> list[dict[str, Any]]:
    """Split each group into backbone and head; multiply the head's `lr_scale` by `factor`."""
    head = {id(p) for name, p in model.named_parameters() if is_head(name, model)}
    split = []
    for group in groups:
        rest = {k: v for k, v in group.items() if k != "params"}
        scale = rest.get("lr_scale", 1.0)
        inside = [p for p in group["params"] if id(p) in head]
        outside = [p for p in group["params"] if id(p) not in head]
        if outside:
            split.append({**rest, "params": outside, "lr_scale": scale})
        if inside:
            split.append({**rest, "params": inside, "lr_scale": scale * factor})
    return split
