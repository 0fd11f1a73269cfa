"""Class-activation maps: whose network is asked, where it finds a class, and what the stage writes for `page`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from torch import nn

from podium import contracts
from podium.activation_maps import class_maps, map_file, mistakes, network_choice, overlays
from podium.activation_maps.class_maps import GridNetwork
from podium.activation_maps.network_choice import NetworkChoice
from podium.core import tables
from podium.models import backbones
from stages import activation_maps
from tests import tiny

MEMBER = tiny.member()
CELLS = {"image_sizes": "64", "transforms": "identity", "phases": "finetune", "train_size_score": 0.7, "score": 0.7}


def members(*rows: tuple[str, float, float, str]) -> pd.DataFrame:
    made = [
        {"member": name, **CELLS, "weight": weight, "log_loss": loss, "phases": phases}
        for name, weight, loss, phases in rows
    ]
    return pd.DataFrame(made).assign(pretrain_score=0.5, finetune_score=0.5)[list(contracts.MEMBERS.columns)]


def small(name: str, **kwargs: object) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3, **kwargs).eval()


def test_the_surest_mistake_comes_first() -> None:
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]], np.float32)
    assert mistakes.surest(probs, np.array([1, 1, 0, 0])).tolist() == [0, 3, 2]


def test_the_member_with_the_most_weight_is_asked_then_the_one_with_the_smallest_loss() -> None:
    table = members(("a", 0.2, 0.1, "probe"), ("b", 0.4, 0.5, "finetune probe"), ("c", 0.4, 0.6, "finetune"))
    assert network_choice.choose(table, ["a", "b", "c"]) == NetworkChoice("b", "finetune", 64)
    assert network_choice.choose(table, ["a"]) == NetworkChoice("a", "probe", 64)
    assert network_choice.choose(table, ["d"]) is None
    stacked = table.assign(weight=float("nan"), image_sizes="64 96")
    assert network_choice.choose(stacked, ["a", "b", "c"]) == NetworkChoice("a", "probe", 96)


def test_the_map_of_a_linear_classifier_on_pooled_features_is_the_class_activation_map() -> None:
    network = small("resnet10t", **MEMBER["model"]["model_kwargs"])
    head = class_maps.linear_head(np.random.default_rng(0).normal(size=(3, 8)), np.array([0.1, 0.2, 0.3]))
    images = torch.rand(2, 3, 96, 96)
    found, scores = class_maps.find(GridNetwork(network, head), images, [2, 0], [1, -1])
    with torch.no_grad():
        features = network.forward_features(images)
        cells = torch.stack([torch.einsum("chw,c->hw", features[0], head.weight[2]),
                             -torch.einsum("chw,c->hw", features[1], head.weight[0])])  # fmt: skip
        assert scores == pytest.approx(head(features.mean((2, 3))).numpy(), abs=1e-5)
    assert found.shape == (2, 3, 3)
    for one, wanted in zip(found, cells.clamp(min=0).numpy(), strict=True):
        assert one == pytest.approx(wanted / max(wanted.max(), 1e-9), abs=1e-4)


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_a_transformer_has_a_map_of_its_patches(pool: str) -> None:
    network = small("vit_tiny_patch16_224", img_size=48, embed_dim=12, depth=2, num_heads=2, global_pool=pool)
    found, _ = class_maps.find(GridNetwork(network, None), torch.rand(1, 3, 48, 48), [1], [1])
    assert found.shape == (1, 3, 3)
    assert found.max() == 1


class Flat(nn.Module):
    """Features that are no grid."""

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))[:, None, :].repeat(1, 5, 1).requires_grad_()

    def forward_head(self, features: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return features.mean(1)


def test_features_that_are_no_grid_are_named() -> None:
    with pytest.raises(class_maps.UnknownLayoutError, match=r"\(5, 3\)"):
        class_maps.find(GridNetwork(Flat(), None), torch.rand(1, 3, 8, 8), [0], [1])


def test_the_brightest_place_of_an_overlay_is_that_of_the_map() -> None:
    cells = np.zeros((4, 4), np.float32)
    cells[3, 0] = 1
    drawn = overlays.draw(np.full((64, 64, 3), 90, np.uint8), cells).astype(int)
    place = np.unravel_index(drawn.sum(axis=2).argmax(), drawn.shape[:2])
    assert (place[0] * 4 // overlays.SIDE, place[1] * 4 // overlays.SIDE) == (3, 0)


def write_run(root: Path) -> list[str]:
    """Write what the stage reads: each fold's network gives class 1 its own probability; return the mistakes."""
    tiny.write(root, {"a": MEMBER}, n_train=8)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    probs = np.array([[0.9, 0.1], [0.1, 0.9]] * 4, np.float32)
    probs[[0, 2]] = [[0.2, 0.8], [0.3, 0.7]]  # two blue ones of folds 0 and 1
    oof = tables.with_probs(folds[["image_id", "label", "fold"]], probs, tiny.CLASSES)
    tables.write(oof, root / "data/ensemble/oof.parquet", contracts.OOF)
    tables.write(members(("a", 1, 0.5, "finetune")), root / "data/ensemble/members.csv", contracts.MEMBERS)
    kwargs = MEMBER["model"]["model_kwargs"]
    network = backbones.create("resnet10t", n_classes=2, model_kwargs=kwargs)
    preprocessing = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize": "squash", "crop_fraction": 1.0}
    meta = {"classes": list(tiny.CLASSES), "backbone": "resnet10t", "model_kwargs": kwargs}
    for fold, p in (("0", 0.6), ("1", 0.25)):
        with torch.no_grad():
            network.fc.weight.zero_()
            network.fc.bias.copy_(torch.tensor([1 - p, p]).log())
        backbones.save(root / f"models/finetune/a/{fold}.safetensors", network, meta | {"preprocessing": preprocessing})
    return list(folds["image_id"][[0, 2]])


def test_a_mistake_gets_the_map_of_the_network_that_its_fold_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = write_run(tmp_path)
    activation_maps.main(root=tmp_path)
    found = map_file.read(tmp_path / map_file.PATH)
    assert found.network == NetworkChoice("a", "finetune", 64)
    assert {key: one.p for key, one in found.by_mistake.items()} == {(wrong[0], "red"): 0.6, (wrong[1], "red"): 0.25}
    assert "2 mistakes, by a" in capsys.readouterr().out


def test_without_a_network_the_file_says_why(tmp_path: Path) -> None:
    write_run(tmp_path)
    tables.write(members(("joint_probe", 1, 0.5, "")), tmp_path / "data/ensemble/members.csv", contracts.MEMBERS)
    activation_maps.main(root=tmp_path)
    found = map_file.read(tmp_path / map_file.PATH)
    assert found.network is None
    assert "no member has a network" in found.reason
    assert not found.by_mistake
