"""Where a phase's classifier starts from: the settings `head_init: auto`, `keep` and `probe`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from podium.core import params
from podium.core.errors import InputError
from podium.models import backbones, probe_heads
from podium.models.probe_heads import ProbeHeads
from podium.training import head_init, phase
from podium.training.settings import FixresSettings
from tests import tiny

HEAD = (np.full((2, 8), 0.25, np.float32), np.array([1, -1], np.float32))
FOUND = ProbeHeads(list(tiny.CLASSES), {"0": HEAD}, {"1": "for a reason"})


def start(root: Path, setting: str, *, weights: str = "hub", fold: str = "0", **where: bool) -> bool:
    """Say whether the classifier of `finetune` becomes the probe's; otherwise nothing of the model has changed."""
    settings = tiny.member(model={"weights": weights}, finetune={"head_init": setting})
    tiny.write_params(root, {"torch": {"threads": 1}, "members": {"a": settings}})
    model = backbones.create("resnet10t", n_classes=2, model_kwargs=settings["model"]["model_kwargs"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    job = phase.load_job("finetune", "a", fold, root)
    flags: dict[str, Any] = {"is_first": True, "is_new": True, **where}
    head_init.init_classifier(job, model, tiny.CLASSES, **flags)
    after = model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed in (set(), {"fc.weight", "fc.bias"})
    if changed:
        assert after["fc.weight"].numpy().tobytes() == HEAD[0].tobytes()
        assert after["fc.bias"].numpy().tobytes() == HEAD[1].tobytes()
    return bool(changed)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    probe_heads.write(tmp_path / "models/probe/a.safetensors", FOUND)
    return tmp_path


def test_auto_is_the_probe_for_a_new_head_on_pretrained_weights_and_else_keeps(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(root, "auto")
    capsys.readouterr()
    assert not start(root, "auto", weights="none")
    assert not start(root, "auto", is_first=False)
    assert capsys.readouterr().out == ""
    assert not start(root, "auto", is_new=False)
    assert "`head_init: probe`" in capsys.readouterr().out
    assert not start(root, "auto", fold="1")
    assert capsys.readouterr().out.count("for a reason\n") == 1


def test_keep_reads_no_probe(tmp_path: Path) -> None:
    assert not start(tmp_path, "keep")
    assert not start(tmp_path, "auto", weights="none")


def test_probe_replaces_a_head_that_fits_and_is_refused_where_it_is_impossible(root: Path) -> None:
    assert start(root, "probe")
    assert start(root, "probe", is_new=False)
    with pytest.raises(InputError, match=r"members\.a\.finetune\.head_init: .*for a reason"):
        start(root, "probe", fold="1")
    with pytest.raises(InputError, match=r"members\.a\.finetune\.head_init: probe has no effect"):
        start(root, "probe", is_first=False)


def test_heads_of_other_classes_are_refused(root: Path) -> None:
    probe_heads.write(root / "models/probe/a.safetensors", ProbeHeads(["blue", "rot"], {"0": HEAD}, {}))
    with pytest.raises(InputError, match="rot"):
        start(root, "auto")


def test_fixres_keeps_its_head_by_default() -> None:
    assert params.parse({"epochs": 1, "lr": 1, "image_size": 64}, "fixres.a", FixresSettings).head_init == "keep"
