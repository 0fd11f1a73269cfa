"""The chain on a CUDA GPU: skipped where there is none. `python -m pytest tests/test_cuda.py` on a machine with one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from podium.core import tables
from podium.core.errors import InputError
from podium.models import devices
from podium.models.settings import TorchSettings
from stages import finetune, fixres, infer, infer_fixres, pretrain, probe, weights
from tests import tiny
from tests.test_families import FAMILIES
from tests.test_stage_training import chain, digests

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU"),
]

AUGMENTATION = [{"RandomResizedCrop": {"size": ["image_size", "image_size"]}}, {"HorizontalFlip": {}}]
PROBABILITIES = ["p:blue", "p:red"]


def written(root: Path, settings: dict[str, Any], *, device: str = "cuda", **contest: Any) -> None:
    tiny.write(root, {"a": settings}, device=device, **contest)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")  # torch's own compiler, in 2.11
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_easy_images_are_learned_in_every_precision(tmp_path: Path, precision: str, compiled: bool) -> None:
    phase = {"epochs": 8, "clip_grad": 1.0, "accumulate": 2, "ema_decay": 0.9, "augmentation": AUGMENTATION}
    model = {"precision": precision, "compile": compiled, "channels_last": True}
    settings = tiny.member(model=model, pretrain=phase, finetune=phase)
    written(tmp_path, settings, n_train=32, n_test=8)
    rows = chain(tmp_path)
    held_out = rows[rows["subset"] == "train"]
    blue = held_out["image_id"].str.removesuffix(".png").astype(int) % 2 == 0  # as tiny.write draws them
    assert np.isfinite(rows[PROBABILITIES].to_numpy()).all()
    assert ((held_out["p:blue"] > 0.5) == blue).mean() > 0.9


@pytest.mark.parametrize("backbone", FAMILIES)
def test_a_family_trains_to_the_same_bytes_twice(tmp_path: Path, backbone: str) -> None:
    kwargs, sizes = FAMILIES[backbone]
    if "dynamic_img_size" in kwargs:  # of another size than training's its position table is resized: not to the byte
        kwargs = {**kwargs, "img_size": sizes[0]}
    model = {"backbone": backbone, "model_kwargs": kwargs, "image_size": sizes[0], "precision": "bf16"}
    phase = {"epochs": 2, "batch_size": 4, "optimizer": "sgd", "lr": 0.001, "augmentation": AUGMENTATION}
    found = []
    for run in ("once", "again"):
        root = tmp_path / run
        root.mkdir()
        settings = tiny.member(
            model={**model, "channels_last": True}, pretrain=phase, finetune=phase, infer={"image_sizes": list(sizes)}
        )
        written(root, settings, folds=(0,))
        chain(root, folds=("0",))
        found.append(digests(root))
    assert found[0] == found[1]


def test_a_gpu_predicts_what_the_cpu_does(tmp_path: Path) -> None:
    written(tmp_path, tiny.member())
    there = chain(tmp_path)
    written(tmp_path, tiny.member(), device="cpu")
    infer.main("a", root=tmp_path)
    here = tables.read(tmp_path / "data/infer/a.parquet", tables.PREDICTIONS)
    # cuDNN's convolutions of fp32 round to tf32
    np.testing.assert_allclose(there[PROBABILITIES], here[PROBABILITIES], atol=0.002)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_diverging_training_names_itself(tmp_path: Path, precision: str) -> None:
    settings = tiny.member(model={"precision": precision}, pretrain={"lr": 1e30, "epochs": 3, "optimizer": "sgd"})
    written(tmp_path, settings)
    weights.main("a", root=tmp_path)
    with pytest.raises(InputError, match=r"pretrain@a-0: .* epoch \d"):
        pretrain.main("a", "0", root=tmp_path)


def test_an_operator_that_torch_has_in_no_deterministic_form_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    device = devices.start(TorchSettings(device="cuda", threads=1))
    images = torch.rand(2, 3, 10, 10, device=device, requires_grad=True)

    def run() -> None:
        torch.nn.functional.adaptive_avg_pool2d(images, 7).sum().backward()

    with pytest.warns(UserWarning, match="adaptive_avg_pool2d"):
        devices.reproducibly("a", run)
    assert "a: torch has no deterministic adaptive_avg_pool2d" in capsys.readouterr().out


def test_probe_frozen_backbone_and_fixres_run_there(tmp_path: Path) -> None:
    settings = tiny.member(
        model={"precision": "bf16", **tiny.write_weights(tmp_path)},
        pretrain={"epochs": 0},
        finetune={"head_init": "probe", "frozen": "backbone", "class_weights": "balanced"},
    )
    written(tmp_path, settings, n_train=32)
    with (tmp_path / "params.yaml").open("a") as opened:
        opened.write("fixres: {a: {image_size: 40, epochs: 1, batch_size: 4, lr: 0.001}}\n")
    weights.main("a", root=tmp_path)
    probe.main("a", root=tmp_path)
    for fold in ("0", "1"):
        pretrain.main("a", fold, root=tmp_path)
        finetune.main("a", fold, root=tmp_path)
        fixres.main("a", fold, root=tmp_path)
    infer_fixres.main("a", root=tmp_path)
    assert len(tables.read(tmp_path / "data/infer_fixres/a.parquet", tables.PREDICTIONS)) == (32 + 2 * 4) * 2
