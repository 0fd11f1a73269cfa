"""Stage soup on a tiny contest: mean weights of members that start from the same pretrained ones."""

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from podium.core import params, pixels, tables
from podium.core.errors import InputError
from podium.inference import soup as soups
from podium.models import backbones
from podium.models.devices import Numerics
from podium.models.plain_images import PlainImages
from podium.models.preprocessing import Preprocessing
from podium.preflight.settings import Podium
from stages import finetune, infer, pretrain, probe, soup, weights
from tests import tiny
from tests.test_settings import whole

CPU = Numerics(torch.device("cpu"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two members that differ in their seed."""
    root = tmp_path_factory.mktemp("trained")
    sections = {"pretrain": {"epochs": 0}, "model": tiny.write_weights(root)}
    members = {name: tiny.member(**copy.deepcopy(sections)) for name in ("a", "b")}
    members["b"]["model"]["seed"] = 1
    tiny.write(root, members, n_train=8)
    with (root / "params.yaml").open("a") as opened:
        opened.write("soup: {a: {members: [b]}}\n")
    for name in members:
        weights.main(name, root=root)
        probe.main(name, root=root)
        for fold in ("0", "1"):
            pretrain.main(name, fold, root=root)
            finetune.main(name, fold, root=root)
    return root


def state(root: Path, folder: str, fold: str = "0") -> dict[str, torch.Tensor]:
    return backbones.read(root / f"models/{folder}/{fold}.safetensors").state


def test_weights_are_means_statistics_are_measured_and_all_images_are_predicted(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    soup.main("a", root=tmp_path)
    first, second, mean = (state(tmp_path, folder) for folder in ("finetune/a", "finetune/b", "soup/a"))
    learned = [name for name in mean if not name.endswith((*soups.STATISTICS, "num_batches_tracked"))]
    for name in learned:
        torch.testing.assert_close(mean[name], (first[name] + second[name]) / 2)
    statistics = [name for name in mean if name.endswith("running_mean")]
    assert any(not torch.allclose(mean[name], (first[name] + second[name]) / 2) for name in statistics)
    rows = tables.read(tmp_path / "data/soup/a.parquet", tables.PREDICTIONS)
    assert set(rows["image_size"]) == {32, 40}
    assert len(rows) == (8 + 2 * 4) * 2 * 2  # train images once, test images by both folds' models
    assert np.isfinite(rows[[f"p:{name}" for name in tiny.CLASSES]].to_numpy()).all()


def test_a_folds_soup_reads_the_models_of_that_fold_alone(trained: Path, tmp_path: Path) -> None:
    """Another fold's model has learned this fold's labels."""
    made = []
    for source in "ba":
        root = tmp_path / source
        shutil.copytree(trained, root)
        shutil.copy(trained / f"models/finetune/{source}/1.safetensors", root / "models/finetune/b/1.safetensors")
        soup.main("a", root=root)
        made.append([(root / f"models/soup/a/{fold}.safetensors").read_bytes() for fold in "01"])
    assert made[0][0] == made[1][0]
    assert made[0][1] != made[1][1]


def test_a_soup_of_copies_is_the_model_itself(trained: Path, tmp_path: Path) -> None:
    """Also its statistics: where they are the same in all models, they were frozen, and are not measured."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    for fold in "01":
        shutil.copy(
            tmp_path / f"models/finetune/a/{fold}.safetensors", tmp_path / f"models/finetune/b/{fold}.safetensors"
        )
    soup.main("a", root=tmp_path)
    infer.main("a", root=tmp_path)
    of_soup, of_member = (
        tables.read(tmp_path / f"data/{name}/a.parquet", tables.PREDICTIONS) for name in ("soup", "infer")
    )
    columns = [f"p:{name}" for name in tiny.CLASSES]
    np.testing.assert_allclose(of_soup[columns], of_member[columns], atol=1e-5)
    assert of_soup.drop(columns=columns).equals(of_member.drop(columns=columns))


def test_statistics_are_those_of_the_images(trained: Path) -> None:
    pack = pixels.open_pack(trained / "data/prepare/train/pixels.arrow")
    images = PlainImages(pack, pack.image_ids, Preprocessing((0.4,) * 3, (0.2,) * 3), 32)
    network = nn.Sequential(nn.BatchNorm2d(3))
    soups.measure_statistics(network, images, CPU)
    inputs = images.preprocessing.normalise(torch.stack([images[i] for i in range(len(images))]))
    norm = network[0]
    torch.testing.assert_close(norm.running_mean, inputs.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, inputs.var((0, 2, 3)))
    assert not norm.training


def test_models_of_other_networks_are_refused(trained: Path) -> None:
    path = trained / "models/finetune/a/0.safetensors"
    one = backbones.read(path)
    other = backbones.Checkpoint(one.state, {**one.meta, "backbone": "resnet18"})
    with pytest.raises(InputError, match="no soup"):
        soups.mean_weights([one, other], [path, path])


@pytest.mark.parametrize(
    ("section", "changes", "expected"),
    [
        ("model", {"weights": "none"}, "weights: none"),
        ("model", {"resize": "pad"}, "model.resize"),
        ("finetune", {"class_weights": "balanced"}, "classes' counts"),
        ("model", {"seed": 7, "image_size": 32}, ""),
        ("finetune", {"lr": 0.5}, ""),
    ],
)
def test_members_of_a_soup_share_network_start_and_input(section: str, changes: dict[str, Any], expected: str) -> None:
    values = whole()
    one = values["members"]["a"]
    one["model"] |= {"weights": "hub"}
    other = copy.deepcopy(one)
    other[section] |= changes
    values["members"] = {"a": other, "b": one} if changes.get("weights") else {"a": one, "b": other}
    values["soup"] = {"a": {"members": ["b"]}}
    if expected:
        with pytest.raises(InputError, match=expected):
            params.parse(values, "", Podium)
    else:
        assert params.parse(values, "", Podium).soup["a"].members == ("b",)
