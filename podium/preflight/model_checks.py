"""Whether a member can be built, trained and looked at as params.yaml says, before the first epoch.

Models are built on torch's meta device: shapes without memory or time.
"""

import contextlib
import io
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from podium.core.errors import InputError
from podium.inference.settings import MemberSettings
from podium.models import backbones
from podium.models.devices import Numerics
from podium.models.settings import ModelSettings
from podium.training import augment, schedules
from podium.training.settings import FixresSettings, PhaseSettings

ANY_CLASSES = 3  # the contest's own number is not known yet, and no backbone's body depends on it


def member(name: str, settings: MemberSettings, fixres: FixresSettings | None, device: torch.device, root: Path) -> int:
    """Check one member; return the number of values in one of its models.

    Args:
        name: of the member, for the keys in errors.
        settings: of the member.
        fixres: its settings in the map `fixres`, None where it is not there.
        device: that trains it.
        root: of the project, under which weights files are found.

    Raises:
        InputError: names the key, and what to do.
    """
    key = f"members.{name}"
    with _named(f"{key}.model"):
        Numerics(device, settings.model.precision)
    model = _meta_model(settings, key)
    _size(model, settings.model, settings.model.image_size, f"{key}.model.image_size")
    for size in settings.infer.image_sizes:
        _size(model, settings.model, size, f"{key}.infer.image_sizes")
    _weights(model, settings.model, root, f"{key}.model")
    for phase_name, phase in (("pretrain", settings.pretrain), ("finetune", settings.finetune)):
        _phase(model, phase, settings.model.image_size, f"{key}.{phase_name}")
    if fixres is not None:
        _size(model, settings.model, fixres.image_size, f"fixres.{name}.image_size")
        _phase(model, fixres, fixres.image_size, f"fixres.{name}")
    return sum(tensor.numel() for tensor in model.state_dict().values())


def _phase(model: nn.Module, phase: PhaseSettings, image_size: int, key: str) -> None:
    augment.build(phase.augmentation, image_size, f"{key}.augmentation")
    with _named(key):
        schedules.check_optimizer(phase.optimizer, phase.momentum)
    if phase.frozen == "batch_norms" and not any(isinstance(m, _BatchNorm) for m in model.modules()):
        raise InputError(f"params.yaml: {key}.frozen: batch_norms has no effect: the backbone has none")
    if phase.frozen == "all_but_norms" and "frozen" in phase.model_fields_set and not backbones.norms(model):
        raise InputError(f"params.yaml: {key}.frozen: all_but_norms: the backbone has no norms; say backbone")
    if phase.head_init == "probe" and phase.epochs > 0:
        backbones.linear_head(model, f"params.yaml: {key}.head_init")


def _meta_model(settings: MemberSettings, key: str) -> nn.Module:
    drop_path = max(settings.pretrain.drop_path, settings.finetune.drop_path)
    with _named(f"{key}.model"), torch.device("meta"), contextlib.redirect_stdout(io.StringIO()):
        return backbones.create(
            settings.model.backbone,
            n_classes=ANY_CLASSES,
            model_kwargs=settings.model.model_kwargs,
            drop_path=drop_path,
        ).eval()


def _size(model: nn.Module, settings: ModelSettings, size: int, key: str) -> None:
    """Refuse a size at which the model fails, or gives no value per class."""
    try:
        shape = tuple(model(torch.zeros(2, 3, size, size, device="meta")).shape)
    except Exception as error:  # each backbone fails in its own way at a size it cannot take
        raise InputError(
            f"params.yaml: {key}: {settings.backbone} cannot take images of {size} pixels: {error}" + _hint(settings)
        ) from None
    if shape != (2, ANY_CLASSES):
        raise InputError(f"params.yaml: {key}: the model gives {shape}, not one value per class")


def _hint(settings: ModelSettings) -> str:
    if "vit" in settings.backbone and "dynamic_img_size" not in settings.model_kwargs:
        return "; with `model_kwargs: {dynamic_img_size: true}` it takes every multiple of its patch size"
    return ""


def _weights(model: nn.Module, settings: ModelSettings, root: Path, key: str) -> None:
    if settings.weights == "hub":
        config: Any = timm.get_pretrained_cfg(settings.backbone)
        if config is None or not config.has_weights:
            raise InputError(
                f"params.yaml: {key}.weights: timm has no weights for {settings.backbone}; say none or file"
            )
    if settings.weights == "file":
        state, metadata = backbones.read_file(root / settings.weights_file)
        backbones.matching_weights(model, state, f"params.yaml: {key}.weights_file {settings.weights_file}")
        backbones.mean_and_std(settings.mean, settings.std, metadata, f"params.yaml: {key}")


@contextlib.contextmanager
def _named(key: str) -> Any:
    """Put the key in front of an error that a room raises without knowing it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"params.yaml: {key}: {error}") from None
