"""Check before the first epoch that a member can be built, trained and used for prediction as params.yaml says.

Models are built on torch's meta device, which takes no memory and almost no time.
"""

import contextlib
import copy
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import DropPath
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from podium.core.errors import InputError
from podium.inference.settings import MemberSettings
from podium.models import backbones
from podium.models.devices import Numerics
from podium.models.settings import ModelSettings
from podium.preflight.settings import Podium
from podium.training import augment, distributed, recomputing, schedules
from podium.training.settings import FixresSettings, PhaseSettings

ANY_CLASSES = 3  # `check` does not know the contest's number of classes, and no backbone's body depends on it


def check_devices(p: Podium, device: torch.device) -> None:
    """Check that this machine has the GPUs of `torch.devices`, and that every phase has images for them.

    Raises:
        InputError: names the key, and what to do.
    """
    distributed.require(p.torch.devices, p.torch.device, device)
    for name, member in p.members.items():
        phases = {f"members.{name}.pretrain": member.pretrain, f"members.{name}.finetune": member.finetune}
        phases |= {f"{map_}.{name}": phase for map_, phase in p.optional_phases(name).items()}
        for key, phase in phases.items():
            if phase.epochs:
                distributed.require_images(p.torch.devices, phase.batch_size, key)


def check(
    name: str, settings: MemberSettings, optional: Mapping[str, PhaseSettings], device: torch.device, root: Path
) -> int:
    """Check one member; return the number of values in one of its models.

    Args:
        name: of the member, for the keys in errors.
        settings: of the member.
        optional: the member's settings in the maps of optional phases, e.g. `fixres`, by map.
        device: that trains the member.
        root: of the project; weights files are relative to it.

    Raises:
        InputError: names the key, and what to do.
    """
    key = f"members.{name}"
    with _named(f"{key}.model"):
        Numerics(device, settings.model.precision)
    phases = (settings.pretrain, settings.finetune, *optional.values())
    model = _meta_model(settings.model, max(phase.drop_path for phase in phases), key)
    _check_size(model, settings.model, settings.model.image_size, f"{key}.model.image_size")
    for size in sorted({*settings.infer.image_sizes} - {settings.model.image_size}):
        _check_size(model, settings.model, size, f"{key}.infer.image_sizes")
    _check_weights(model, settings.model, root, f"{key}.model")
    if settings.pretrain.image_size is not None:
        _check_size(model, settings.model, settings.pretrain.image_size, f"{key}.pretrain.image_size")
    _check_phase(model, settings.model, settings.pretrain, settings.pretrain_size, f"{key}.pretrain")
    _check_phase(model, settings.model, settings.finetune, settings.model.image_size, f"{key}.finetune")
    _check_head_init(model, settings, key)
    for phase, own in optional.items():
        size = own.image_size if isinstance(own, FixresSettings) else settings.model.image_size
        if isinstance(own, FixresSettings):
            _check_size(model, settings.model, size, f"{phase}.{name}.image_size")
        _check_phase(model, settings.model, own, size, f"{phase}.{name}")
    return sum(tensor.numel() for tensor in model.state_dict().values())


def check_finetune(name: str, settings: MemberSettings) -> None:
    """Check only what other settings of `finetune` can break: backbone, weights and sizes have been checked.

    Raises:
        InputError: names the key, and what to do.
    """
    key = f"members.{name}"
    model = _meta_model(settings.model, settings.finetune.drop_path, key)
    _check_phase(model, settings.model, settings.finetune, settings.model.image_size, f"{key}.finetune")
    _check_head_init(model, settings, key)


def _check_phase(model: nn.Module, settings: ModelSettings, phase: PhaseSettings, image_size: int, key: str) -> None:
    augment.build(phase.augmentation, image_size, f"{key}.augmentation", settings.channels)
    with _named(key):
        schedules.check_optimizer(phase.optimizer, phase.momentum)
    if phase.gradient_checkpointing:
        recomputing.enable(copy.deepcopy(model), f"{key}.gradient_checkpointing")
    if phase.frozen == "batch_norms" and not any(isinstance(m, _BatchNorm) for m in model.modules()):
        raise InputError(f"params.yaml: {key}.frozen: batch_norms has no effect: the backbone has none")
    if phase.frozen == "all_but_norms" and "frozen" in phase.model_fields_set and not backbones.norms(model):
        raise InputError(f"params.yaml: {key}.frozen: all_but_norms: the backbone has no norms; set frozen: backbone")
    if phase.epochs > 0 and phase.drop_path > 0:
        _check_drop_path(model, settings, image_size, f"{key}.drop_path")


def _check_drop_path(model: nn.Module, settings: ModelSettings, image_size: int, key: str) -> None:
    """Refuse stochastic depth where no block of the network has a way around it (mobilenetv1_100): it would do nothing.

    timm gives such blocks a DropPath all the same, and never calls it.
    """
    called: list[nn.Module] = []
    blocks = [one for one in model.modules() if isinstance(one, DropPath) and one.drop_prob]
    hooks = [one.register_forward_hook(lambda block, *_: called.append(block)) for one in blocks]
    _predicted(model, settings, image_size)
    for hook in hooks:
        hook.remove()
    if blocks and not called:
        why = f"no block of {settings.backbone} can be left out"
        raise InputError(f"params.yaml: {key} has no effect, because {why}; remove it")


def _check_head_init(model: nn.Module, settings: MemberSettings, key: str) -> None:
    """Refuse `head_init: probe` where the probe has no classifier, or a phase before has trained it."""
    for name, phase, earlier in (
        ("pretrain", settings.pretrain, 0),
        ("finetune", settings.finetune, settings.pretrain.epochs),
    ):
        if phase.head_init != "probe" or phase.epochs == 0:
            continue
        where = f"params.yaml: {key}.{name}.head_init"
        if settings.model.weights == "none":
            raise InputError(f"{where}: probe needs pretrained weights, and this member has `weights: none`; set keep")
        if earlier > 0:
            raise InputError(f"{where}: probe has no effect after `pretrain`, which trains the classifier; set keep")
        backbones.linear_head(model, where)


def _meta_model(settings: ModelSettings, drop_path: float, key: str) -> nn.Module:
    with _named(f"{key}.model"), torch.device("meta"), contextlib.redirect_stdout(io.StringIO()):
        return backbones.create(
            settings.backbone,
            n_classes=ANY_CLASSES,
            model_kwargs=settings.model_kwargs,
            drop_path=drop_path,
        ).eval()


def _check_size(model: nn.Module, settings: ModelSettings, size: int, key: str) -> None:
    """Refuse an image size at which the model fails, or does not return one value per class."""
    try:
        shape = tuple(_predicted(model, settings, size).shape)
    except Exception as error:  # backbones raise many classes of errors for a size that they cannot take
        raise InputError(
            f"params.yaml: {key}: {settings.backbone} cannot take images of {size} pixels: {error}" + _hint(settings)
        ) from None
    if shape != (2, ANY_CLASSES):
        raise InputError(f"params.yaml: {key}: the model returns {shape}, not one value per class")


def _predicted(model: nn.Module, settings: ModelSettings, size: int) -> torch.Tensor:
    """Return what a model on the device `meta` predicts of two images: a shape without values."""
    with torch.inference_mode():
        found: torch.Tensor = model(torch.zeros(2, settings.channels, size, size, device="meta"))
    return found


def _hint(settings: ModelSettings) -> str:
    if "vit" in settings.backbone and "dynamic_img_size" not in settings.model_kwargs:
        return "; with `model_kwargs: {dynamic_img_size: true}` it takes every multiple of its patch size"
    return ""


def _check_weights(model: nn.Module, settings: ModelSettings, root: Path, key: str) -> None:
    if settings.weights == "hub":
        config: Any = timm.get_pretrained_cfg(settings.backbone)
        if config is None or not config.has_weights:
            raise InputError(
                f"params.yaml: {key}.weights: timm has no weights for {settings.backbone}; set weights: none, or"
                " weights: file with a weights_file"
            )
    if settings.weights == "file":
        state, metadata = backbones.read_file(root / settings.weights_file)
        state = backbones.with_channels(model, state)
        backbones.matching_weights(model, state, f"params.yaml: {key}.weights_file {settings.weights_file}")
        backbones.mean_and_std(settings.mean, settings.std, metadata, f"params.yaml: {key}")


@contextlib.contextmanager
def _named(key: str) -> Iterator[None]:
    """Prefix the key to an error of a function that does not know it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"params.yaml: {key}: {error}") from None
