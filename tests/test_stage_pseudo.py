"""Stages pseudo and infer_pseudo on a tiny contest: pseudo-labels that carry no label of the held-out fold."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from podium.core import pixels, tables
from podium.core.pixels import PixelPack
from podium.training import pseudo_labels
from podium.training.phase import LabelledImages, SoftLabelledImages
from podium.training.settings import PseudoSettings
from podium.training.trainer import Trainer
from stages import finetune, infer_pseudo, pretrain, pseudo, weights
from tests import tiny

SETTINGS = {"epochs": 2, "batch_size": 4, "lr": 0.01}
STRONG = {"weight": 4, "epochs": 6}  # pseudo-labels are learned by heart
FLIPPED = {"red": "blue", "blue": "red"}


def train(root: Path, folds: tuple[str, ...], *, flip_fold_0: bool = False) -> None:
    """Write a contest, and train a member on some folds up to `finetune`."""
    tiny.write(root, {"a": tiny.member(pretrain={"epochs": 0})}, n_train=8)
    path = root / "data/split/folds.csv"
    table = tables.read(path, tables.FOLDS)
    if flip_fold_0:
        held = table["fold"] == "0"
        table.loc[held, "label"] = table.loc[held, "label"].map(FLIPPED)
    tables.write(table, path, tables.FOLDS)
    weights.main("a", root=root)
    for fold in folds:
        pretrain.main("a", fold, root=root)
        finetune.main("a", fold, root=root)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    train(root, ("0", "1"))
    return root


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same contest with all labels of fold 0 turned over, and without the models of fold 1."""
    root = tmp_path_factory.mktemp("flipped")
    train(root, ("0",), flip_fold_0=True)
    return root


def run(trained: Path, root: Path, fold: str = "0", **settings: Any) -> bytes:
    """Copy the trained member, run `pseudo` on a fold, and return its weights."""
    shutil.copytree(trained, root, dirs_exist_ok=True)
    with (root / "params.yaml").open("a") as opened:
        opened.write(f"pseudo: {{a: {SETTINGS | settings}}}\n")
    pseudo.main("a", fold, root=root)
    return (root / f"models/pseudo/a/{fold}.safetensors").read_bytes()


def test_its_models_predict_every_image_as_those_of_finetune_do(trained: Path, tmp_path: Path) -> None:
    first = run(trained, tmp_path)
    pseudo.main("a", "1", root=tmp_path)
    infer_pseudo.main("a", root=tmp_path)
    rows = tables.read(tmp_path / "data/infer_pseudo/a.parquet", tables.PREDICTIONS)
    assert set(rows["image_size"]) == {32, 40}
    assert len(rows) == (8 + 2 * 4) * 2 * 2  # train images once, test images by both folds' models
    held_out = tables.read(tmp_path / "data/pseudo/a/0.parquet", tables.PREDICTIONS)
    merged = held_out.merge(rows[rows["subset"] == "train"], on=["image_id", "fold", "transform", "image_size"])
    assert len(merged) == len(held_out) == 4
    pseudo.main("a", "0", root=tmp_path)
    assert (tmp_path / "models/pseudo/a/0.safetensors").read_bytes() == first


def test_no_label_of_the_held_out_fold_reaches_the_model_and_a_planted_leak_would_be_seen(
    trained: Path, flipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leak: pseudo-labels as of a model of fold 1 that has learned the labels of fold 0 by heart."""
    honest = [run(source, tmp_path / f"honest{i}", **STRONG) for i, source in enumerate((trained, flipped))]
    assert honest[0] == honest[1]
    own = Trainer._predicted

    def leaking(trainer: Trainer, model: torch.nn.Module, test: PixelPack) -> SoftLabelledImages:
        predicted = own(trainer, model, test)
        targets = trainer.data.held_out.targets
        predicted.targets[: len(targets)] = np.eye(2, dtype=np.float32)[targets]
        return predicted

    monkeypatch.setattr(Trainer, "_predicted", leaking)
    for i, source in enumerate((trained, flipped)):
        run(source, tmp_path / f"leak{i}", **STRONG)
    # a model that knows no label gives an image's label and the other one, which is its label in `flipped`, 1 together
    honest_sum, leaked_sum = (
        held_out_probs(tmp_path / f"{kind}0", "pseudo") + held_out_probs(tmp_path / f"{kind}1", "pseudo")
        for kind in ("honest", "leak")
    )
    np.testing.assert_allclose(honest_sum, 1, atol=1e-6)
    assert leaked_sum.min() > 1.02
    assert leaked_sum.mean() > 1.1


def held_out_probs(root: Path, phase: str) -> NDArray[np.float64]:
    """Return what fold 0's model of a phase gives the held-out images' labels in folds.csv (n_images,)."""
    table = tables.read(root / f"data/{phase}/a/0.parquet", tables.PREDICTIONS).set_index("image_id").sort_index()
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).set_index("image_id")
    return np.array([row[f"p:{folds.loc[name, 'label']}"] for name, row in table.iterrows()], np.float64)


def test_threshold_and_weight_and_temperature_act(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = run(trained, tmp_path / "plain")
    assert "pseudo@a-0: 8 of 8 images get a pseudo-label" in capsys.readouterr().out  # 4 test images, 4 held out
    changed = [run(trained, tmp_path / key, **{key: 0.5}) for key in ("weight", "temperature")]
    none = run(trained, tmp_path / "none", threshold=0.999)
    assert "pseudo@a-0: 0 of 8" in capsys.readouterr().out
    assert len({plain, none, *changed}) == 4


def test_a_test_image_with_the_id_of_a_train_image_is_another_image(trained: Path, tmp_path: Path) -> None:
    root = tmp_path / "same_ids"
    shutil.copytree(trained, root)
    shutil.copy(root / "data/prepare/train/pixels.arrow", root / "data/prepare/test/pixels.arrow")
    assert run(root, tmp_path / "copy") != run(trained, tmp_path / "plain")


def test_soft_labels_keep_their_classes_and_sum_to_their_weight() -> None:
    predicted = SoftLabelledImages(["x", "y"], np.float32([[0.9, 0.1], [0.45, 0.55]]))
    settings = PseudoSettings(epochs=1, lr=0.1, threshold=0.6, weight=0.5, temperature=0.5)
    labels = pseudo_labels.joined(LabelledImages(["a"], np.array([1])), predicted, settings, "t")
    assert labels.image_ids == ["a", "x"]
    np.testing.assert_allclose(labels.targets, [[0, 1], [0.5 * 81 / 82, 0.5 / 82]], rtol=1e-5)


def test_a_contest_without_test_images_trains_on_labels_and_held_out_images(trained: Path, tmp_path: Path) -> None:
    root = tmp_path / "without"
    shutil.copytree(trained, root)
    with pixels.Writer(root / "data/prepare/test/pixels.arrow", encoding="raw"):
        pass
    assert not PixelPack(root / "data/prepare/test/pixels.arrow").image_ids
    assert run(root, tmp_path / "copy")
