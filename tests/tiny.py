"""A contest small enough to train on in a test: what the stages before training write, and params.yaml."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import timm
import torch
import yaml

from podium.core import pixels, tables

CLASSES = ("blue", "red")


def image(label: str, seed: int, size: tuple[int, int] = (40, 52)) -> np.ndarray:
    """Noise (height, width, 3) whose class shows in one channel."""
    drawn = np.random.default_rng(seed).integers(0, 160, (*size, 3), dtype=np.uint8)
    drawn[..., {"blue": 2, "red": 0}[label]] += 95
    return drawn


def member(**changes: dict[str, Any]) -> dict[str, Any]:
    """A member's settings with what training needs, changed by section."""
    phase = {"epochs": 1, "batch_size": 4, "lr": 0.01}
    sections: dict[str, dict[str, Any]] = {
        "model": {
            "backbone": "resnet10t",
            "model_kwargs": {"channels": [8, 8, 8, 8], "stem_width": 8},
            "weights": "none",
            "weights_file": "placeholders/none.csv",
            "image_size": 32,
        },
        "pretrain": {**phase, "mixup": 0.4},
        "finetune": dict(phase),
        "infer": {"image_sizes": [32, 40], "transforms": ["identity", "hflip"]},
    }
    return {name: {**section, **changes.get(name, {})} for name, section in sections.items()}


def write(
    root: Path,
    members: dict[str, Any],
    n_train: int = 16,
    n_test: int = 4,
    folds: tuple[int, ...] = (0, 1),
    *,
    device: str = "cpu",
) -> None:
    """Write what pretrain, finetune and infer read."""
    labels = [CLASSES[i % 2] for i in range(n_train)]
    ids = [f"{i:02}.png" for i in range(n_train)]
    for subset, names in (("train", ids), ("test", [f"t{i}.png" for i in range(n_test)])):
        with pixels.Writer(root / f"data/prepare/{subset}/pixels.arrow", encoding="raw") as writer:
            for i, name in enumerate(names):
                writer.add(name, image(CLASSES[i % 2], seed=i + 1000 * (subset == "test")))
    table = pd.DataFrame({"image_id": ids, "label": labels, "use": "train", "reason": "", "group": ""})
    table["fold"] = [str(i // 2 % 2) for i in range(n_train)]
    tables.write(table, root / "data/split/folds.csv", tables.FOLDS)
    write_params(root, {"folds": list(folds), "torch": {"threads": 1, "device": device}, "members": members})


def write_weights(root: Path) -> dict[str, Any]:
    """Write pretrained weights of `member`'s backbone for seven classes; return the section `model` that uses them."""
    torch.manual_seed(0)
    kwargs: dict[str, Any] = member()["model"]["model_kwargs"]
    state = timm.create_model("resnet10t", num_classes=7, **kwargs).state_dict()
    safetensors.torch.save_file(state, str(root / "w.safetensors"))
    return {"weights": "file", "weights_file": "w.safetensors", "mean": [0.4] * 3, "std": [0.2] * 3}


def write_params(root: Path, values: dict[str, Any]) -> None:
    """Write params.yaml."""
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
