"""Every family of the winning entry is trained and predicts at two sizes, with random weights.

The smallest network of each family: test_check.py builds the entry's own ones from recipes/winner.yaml. One phase,
because nothing in `pretrain` but mixup differs from `finetune`.
"""

from pathlib import Path
from typing import Any

import pytest

from podium.core import tables
from stages import finetune, infer, pretrain, weights
from tests import tiny

FAMILIES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "resnext50_32x4d": ({}, (32, 48)),
    "efficientnet_b0": ({}, (32, 48)),
    "hrnet_w18_small": ({}, (32, 64)),
    "cspdarknet53": ({}, (32, 64)),
    "inception_v3": ({}, (75, 96)),
    "inception_v4": ({}, (75, 96)),
    "fcanet50": ({}, (32, 48)),
    "vit_tiny_patch16_224": ({"dynamic_img_size": True}, (32, 48)),
}


@pytest.mark.slow
@pytest.mark.parametrize("backbone", FAMILIES)
def test_a_family_goes_through_the_chain(tmp_path: Path, backbone: str) -> None:
    kwargs, sizes = FAMILIES[backbone]
    model = {"backbone": backbone, "model_kwargs": kwargs, "image_size": sizes[0]}
    phase = {"batch_size": 4, "optimizer": "sgd", "lr": 0.001, "clip_grad": 1.0}
    settings = tiny.member(model=model, pretrain={"epochs": 0}, finetune=phase, infer={"image_sizes": list(sizes)})
    tiny.write(tmp_path, {"a": settings}, n_train=8, n_test=2, folds=(0,))  # one fold is enough to see it run
    weights.main("a", root=tmp_path)
    pretrain.main("a", "0", root=tmp_path)
    finetune.main("a", "0", root=tmp_path)
    infer.main("a", root=tmp_path)
    rows = tables.read(tmp_path / "data/infer/a.parquet", tables.PREDICTIONS)
    assert len(rows) == 2 * 2 * (4 + 2)
    assert set(rows["image_size"]) == set(sizes)
    assert rows[["p:blue", "p:red"]].to_numpy().min() >= 0
    changed = rows.pivot_table(index=["subset", "image_id", "fold", "transform"], columns="image_size", values="p:red")
    assert (changed[sizes[0]] != changed[sizes[1]]).any()  # the size reaches the model
