"""Stages fixres and infer_fixres on a tiny contest."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from podium.core import tables
from podium.core.errors import InputError
from podium.models import backbones
from stages import finetune, fixres, infer_fixres, pretrain, weights
from tests import tiny

SETTINGS = {"image_size": 48, "epochs": 2, "batch_size": 4, "lr": 0.01}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both folds of a member up to `finetune`."""
    root = tmp_path_factory.mktemp("trained")
    tiny.write(root, {"a": tiny.member()}, n_train=8)
    weights.main("a", root=root)
    for fold in ("0", "1"):
        pretrain.main("a", fold, root=root)
        finetune.main("a", fold, root=root)
    return root


def finetuned(trained: Path, root: Path, settings: dict[str, Any]) -> None:
    """Copy the trained member, and write its entry of the map `fixres`."""
    shutil.copytree(trained, root, dirs_exist_ok=True)
    with (root / "params.yaml").open("a") as opened:
        opened.write(f"fixres: {{a: {settings}}}\n")


def test_its_models_predict_every_image_once_at_its_size(trained: Path, tmp_path: Path) -> None:
    finetuned(trained, tmp_path, SETTINGS)
    for fold in ("0", "1"):
        fixres.main("a", fold, root=tmp_path)
    infer_fixres.main("a", root=tmp_path)
    rows = tables.read(tmp_path / "data/infer_fixres/a.parquet", tables.PREDICTIONS)
    assert set(rows["image_size"]) == {48}
    assert len(rows) == (8 + 2 * 4) * 2  # train images once, test images by both folds' models; in two transforms
    held_out = tables.read(tmp_path / "data/fixres/a/0.parquet", tables.PREDICTIONS)
    assert set(held_out["image_size"]) == {48}
    merged = held_out.merge(
        rows[rows["subset"] == "train"], on=["image_id", "fold", "transform"], suffixes=("", "_infer")
    )
    assert len(merged) == len(held_out) == 4
    np.testing.assert_allclose(merged["p:red"], merged["p:red_infer"], atol=1e-5)
    curve = pd.read_csv(tmp_path / "data/fixres/a/0.live/plots/metrics/train/loss.tsv", sep="\t")
    assert list(curve["step"]) == [0, 1]


def test_nothing_but_classifier_and_norms_moves_and_a_rerun_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    finetuned(trained, tmp_path, SETTINGS)
    fixres.main("a", "0", root=tmp_path)
    path = tmp_path / "models/fixres/a/0.safetensors"
    before = backbones.read(tmp_path / "models/finetune/a/0.safetensors")
    after, first = backbones.read(path), path.read_bytes()
    moved = {k for k, v in before.state.items() if not torch.equal(v, after.state[k])}
    assert {"fc.weight", "bn1.weight", "bn1.running_mean"} < moved
    assert all(k == "fc.weight" or before.state[k].ndim < 2 for k in moved)  # no convolution
    assert after.meta == before.meta  # preprocessing and classes: infer_fixres reads it as infer does
    fixres.main("a", "0", root=tmp_path)
    assert path.read_bytes() == first


def test_it_learns_only_the_other_folds(trained: Path, tmp_path: Path) -> None:
    finetuned(trained, tmp_path, SETTINGS)
    fixres.main("a", "0", root=tmp_path)
    first = (tmp_path / "models/fixres/a/0.safetensors").read_bytes()
    path = tmp_path / "data/split/folds.csv"
    folds = tables.read(path, tables.FOLDS)
    held = folds["fold"] == "0"
    folds.loc[held, "label"] = folds.loc[held, "label"].map({"red": "blue", "blue": "red"})
    tables.write(folds, path, tables.FOLDS)
    fixres.main("a", "0", root=tmp_path)
    assert (tmp_path / "models/fixres/a/0.safetensors").read_bytes() == first


def test_a_training_that_diverges_is_named(trained: Path, tmp_path: Path) -> None:
    finetuned(trained, tmp_path, {**SETTINGS, "lr": 1e30, "optimizer": "sgd"})
    with pytest.raises(InputError, match=r"fixres@a-1: .* at epoch \d"):
        fixres.main("a", "1", root=tmp_path)


def test_a_member_without_its_section_is_refused(tmp_path: Path) -> None:
    tiny.write(tmp_path, {"a": tiny.member()}, n_train=8)
    with (tmp_path / "params.yaml").open("a") as opened:
        opened.write("fixres: {}\n")
    with pytest.raises(InputError, match=r"fixres\.a: missing"):
        fixres.main("a", "0", root=tmp_path)
