"""Stage `weights@<member>`: hub, file or none -> models/weights/<member>.safetensors, every key checked."""

from pathlib import Path
from typing import Any

import torch

from stages.lib import backbones, cli, params, seeding
from stages.lib.settings.training import ModelSettings


def main(member: str, root: Path = Path()) -> None:
    """Check and save the weights a member starts from."""
    p = params.load(f"members.{member}.model", ModelSettings, root)
    read = {"hub": _from_hub, "file": _from_file, "none": _random}[p.weights]
    state, mean, std = read(p, member, root)
    meta = {"backbone": p.backbone, "model_kwargs": p.model_kwargs, "weights": p.weights}
    meta["preprocessing"] = {"mean": mean, "std": std}
    backbones.save(root / f"models/weights/{member}.safetensors", state, meta)
    print(f"weights@{member}: {p.backbone} from {p.weights}, {sum(v.numel() for v in state.values()):,} values")


Loaded = tuple[dict[str, torch.Tensor], Any, Any]  # state dict, mean, std


def _from_hub(p: ModelSettings, member: str, root: Path) -> Loaded:
    del member, root
    model, config = backbones.from_hub(p.backbone, p.model_kwargs)
    return model.state_dict(), config["mean"], config["std"]


def _from_file(p: ModelSettings, member: str, root: Path) -> Loaded:
    state, metadata = backbones.read_file(root / p.weights_file)
    mean, std = backbones.mean_and_std(p.mean, p.std, metadata, f"params.yaml: members.{member}.model")
    model = backbones.create(p.backbone, n_classes=0, model_kwargs=p.model_kwargs)
    backbones.load(model, state, p.weights_file)
    return state, mean, std


def _random(p: ModelSettings, member: str, root: Path) -> Loaded:
    del root
    torch.manual_seed(seeding.derive(p.seed, member, "weights"))
    model = backbones.create(p.backbone, n_classes=0, model_kwargs=p.model_kwargs)
    half = (0.5, 0.5, 0.5)  # random weights know no data set's mean: pixels then run from -1 to 1
    return model.state_dict(), p.mean or half, p.std or half


if __name__ == "__main__":
    cli.run(main)
