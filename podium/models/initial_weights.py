"""The initial weights of a member: timm's, a user's file, or random ones."""

from pathlib import Path
from typing import Any

import torch

from podium.core import seeding
from podium.models import backbones
from podium.models.settings import ModelSettings

Loaded = tuple[dict[str, torch.Tensor], Any, Any]  # state dict, mean, std


def save(p: ModelSettings, member: str, root: Path) -> int:
    """Check the weights and save them with their mean and std; return their number of values.

    Raises:
        InputError: the hub has no weights, or the file does not fit the backbone or lacks its mean and std.
    """
    read = {"hub": _from_hub, "file": _from_file, "none": _random}[p.weights]
    state, mean, std = read(p, member, root)
    meta = {"backbone": p.backbone, "model_kwargs": p.model_kwargs, "weights": p.weights}
    meta["preprocessing"] = {"mean": mean, "std": std}
    backbones.save(root / f"models/weights/{member}.safetensors", state, meta)
    return sum(v.numel() for v in state.values())


def _from_hub(p: ModelSettings, member: str, root: Path) -> Loaded:
    del member, root
    model, config = backbones.from_hub(p.backbone, p.model_kwargs)
    mean, std = (backbones.per_channel(config[key], p.channels) for key in ("mean", "std"))
    return model.state_dict(), mean, std


def _from_file(p: ModelSettings, member: str, root: Path) -> Loaded:
    state, metadata = backbones.read_file(root / p.weights_file)
    mean, std = backbones.mean_and_std(p.mean, p.std, metadata, f"params.yaml: members.{member}.model")
    model = backbones.create(p.backbone, n_classes=0, model_kwargs=p.model_kwargs)
    state = backbones.with_channels(model, state)
    backbones.load(model, state, p.weights_file)
    return state, backbones.per_channel(mean, p.channels), backbones.per_channel(std, p.channels)


def _random(p: ModelSettings, member: str, root: Path) -> Loaded:
    del root
    torch.manual_seed(seeding.derive(p.seed, member, "weights"))
    model = backbones.create(p.backbone, n_classes=0, model_kwargs=p.model_kwargs)
    half = (0.5,) * p.channels  # random weights belong to no data set with a mean: pixels are scaled to -1 to 1
    mean, std = (backbones.per_channel(values or half, p.channels) for values in (p.mean, p.std))
    return model.state_dict(), mean, std
