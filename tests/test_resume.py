"""A training that was ended goes on from its last finished epoch, to the bytes of one that was never disturbed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from podium.core import pixels, tables
from podium.core.interrupts import StopSignal
from podium.models import backbones, devices
from podium.training import phase, resume
from podium.training.trainer import Trainer
from stages import pretrain, weights
from tests import test_loop, tiny
from tests.graph import PROJECT
from tests.test_stage_training import digests

EPOCHS = 4
AUGMENTATION = [{"RandomResizedCrop": {"size": ["image_size", "image_size"]}}, {"HorizontalFlip": {}}]
COMMON = {"epochs": EPOCHS, "drop_path": 0.2, "augmentation": AUGMENTATION, "warmup_epochs": 1, "accumulate": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "ema": {**COMMON, "ema_decay": 0.9, "mixup": 0.4, "cutmix": 1.0, "clip_grad": 1.0, "head_only_epochs": 1},
    "average": {
        **COMMON,
        "average_epochs": 3,
        "optimizer": "sgd",
        "momentum": 0.9,
        "sampler": "balanced",
        "accumulate": 2,
    },
}


@pytest.fixture
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(resume, "COST", 0)


def contest(root: Path, settings: dict[str, Any]) -> Path:
    root.mkdir()
    tiny.write(root, {"a": tiny.member(pretrain=settings)})
    weights.main("a", root=root)
    return root


def undisturbed(root: Path, settings: dict[str, Any]) -> dict[str, str]:
    pretrain.main("a", "0", root=contest(root, settings))
    assert not saved(root)
    return digests(root)


def saved(root: Path) -> list[str]:
    """Return the names of the files of states."""
    return [path.name for path in (root / ".resume").rglob("*") if path.is_file()]


def train_and_end(root: Path, monkeypatch: pytest.MonkeyPatch, method: str, at: int) -> str:
    """Train until a signal comes in a method of the trainer, when as many epochs are finished; return the advice."""
    original = getattr(Trainer, method)

    def ended(self: Trainer, *arguments: Any) -> None:
        if method == "_keep":
            original(self, *arguments)
        if len(self.curves) == at:
            raise StopSignal(signal.SIGTERM)
        if method != "_keep":
            original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, method, ended)
        with pytest.raises(StopSignal) as error:
            pretrain.main("a", "0", root=root)
    return error.value.advice


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.usefixtures("every_epoch")
def test_after_a_kill_at_each_epoch_the_bytes_are_those_of_an_undisturbed_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    wanted = undisturbed(tmp_path / "undisturbed", SETTINGS[name])
    root = contest(tmp_path / "killed", SETTINGS[name])
    for finished in range(1, EPOCHS):
        advice = train_and_end(root, monkeypatch, "_keep", finished)
        assert f"pretrain@a-0: `dvc repro` goes on from epoch {finished + 1} of {EPOCHS}" in advice
        assert not (root / "models/pretrain").exists()
        assert saved(root) == ["0.state"]
    capsys.readouterr()
    pretrain.main("a", "0", root=root)
    assert f"goes on from epoch {EPOCHS} of {EPOCHS}" in capsys.readouterr().out
    assert digests(root) == wanted
    assert not saved(root)


def test_a_signal_saves_the_last_finished_epoch_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between two saves, a signal in the middle of the next epoch, which has changed the weights already."""
    settings = {"epochs": 3, "ema_decay": 0.9}
    wanted = undisturbed(tmp_path / "undisturbed", settings)
    assert not (tmp_path / "undisturbed/.resume").exists()  # a short training saves nothing
    root = contest(tmp_path / "ended", settings)
    train_and_end(root, monkeypatch, "_log", 2)
    pretrain.main("a", "0", root=root)
    assert "goes on from epoch 3 of 3" in capsys.readouterr().out
    assert digests(root) == wanted


def test_a_state_of_other_settings_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = contest(tmp_path / "changed", SETTINGS["ema"])
    train_and_end(root, monkeypatch, "_log", 2)
    tiny.write(root, {"a": tiny.member(pretrain={"lr": 0.005})})
    pretrain.main("a", "0", root=root)
    assert "starts from epoch 1: settings, code, libraries, data or weights have changed" in capsys.readouterr().out
    assert not saved(root)


def key(root: Path) -> str:
    job = phase.load_job("pretrain", "a", "0", root)
    data = phase.read_fold(tables.read(root / "data/split/folds.csv", tables.FOLDS), "0")
    checkpoint = backbones.read(root / "models/weights/a.safetensors")
    trainer = Trainer(job, checkpoint, data, devices.Numerics(torch.device("cpu")))
    return trainer._key_of(trainer._model())()


def test_the_key_depends_on_everything_that_determines_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = contest(tmp_path / "one", {})
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    keys = [key(root), key(contest(tmp_path / "two", {}))]
    assert keys[0] == keys[1]
    tiny.write(root, {"a": tiny.member(pretrain={"lr": 0.02})})
    keys.append(key(root))
    tiny.write(root, {"a": tiny.member(model={"precision": "bf16"})})
    keys.append(key(root))
    tiny.write(root, {"a": tiny.member()})
    with pixels.Writer(root / "data/prepare/train/pixels.arrow", encoding="raw") as writer:
        for name in folds["image_id"]:
            writer.add(name, np.zeros((40, 52, 3), np.uint8))  # of the same size, in bytes too
    keys.append(key(root))
    tiny.write(root, {"a": tiny.member()})
    swapped = folds.assign(label=folds["label"].map({"red": "blue", "blue": "red"}))
    tables.write(swapped, root / "data/split/folds.csv", tables.FOLDS)
    keys.append(key(root))
    tables.write(folds, root / "data/split/folds.csv", tables.FOLDS)
    assert key(root) == keys[0]
    start = backbones.read(root / "models/weights/a.safetensors")
    start.state["conv1.0.weight"] += 1
    backbones.save(root / "models/weights/a.safetensors", start.state, start.meta)
    keys.append(key(root))
    weights.main("a", root=root)
    for name, value in (("CODE", ("core", "models")), ("LIBRARIES", ("torch",)), ("_processor", lambda _: "other")):
        with monkeypatch.context() as patch:
            patch.setattr(resume, name, value)
            keys.append(key(root))
    assert len(set(keys[1:])) == len(keys) - 1


def file_with_a_state(path: Path, epochs: int = 4) -> resume.StateFile:
    settings = tiny.member(pretrain={"epochs": epochs})
    tiny.write(path, {"a": settings}, n_train=4)
    return resume.StateFile(path / "x.state", phase.load_job("pretrain", "a", "0", path), lambda: "k" * 64)


@pytest.mark.usefixtures("every_epoch")
@pytest.mark.parametrize("damage", [lambda _: b"", lambda old: old[:-1], lambda old: old[:-9] + b"x" + old[-8:]])
def test_a_damaged_state_is_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any) -> None:
    file = file_with_a_state(tmp_path)
    file.keep(resume.TrainingState(1, 2, {"model": {"w": torch.ones(3)}}, []))
    assert file.read() is not None
    (tmp_path / "x.state").write_bytes(damage((tmp_path / "x.state").read_bytes()))
    assert file.read() is None
    assert "pretrain@a-0: starts from epoch 1" in capsys.readouterr().out
    assert not (tmp_path / "x.state").exists()


@pytest.mark.usefixtures("every_epoch")
def test_a_full_disk_stops_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resume.os, "fsync", full)
    pretrain.main("a", "0", root=contest(tmp_path / "one", {"epochs": 2}))
    assert "No space left" in capsys.readouterr().out
    assert (tmp_path / "one/models/pretrain/a/0.safetensors").exists()
    assert not saved(tmp_path / "one")


@pytest.mark.usefixtures("every_epoch")
@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "muon"])
def test_an_optimizers_state_is_whole(tmp_path: Path, optimizer: str) -> None:
    stream, fixed = test_loop.batches(4), {"optimizer": optimizer, "steps_per_epoch": 2}
    file = file_with_a_state(tmp_path)
    wanted, _ = test_loop.fit(
        test_loop.net(), stream, **fixed, on_state=lambda *state: file.keep(resume.TrainingState(*state, []))
    )
    got, _ = test_loop.fit(test_loop.net(), stream[2:], **fixed, start=file.read())
    assert all(map(torch.equal, wanted.state_dict().values(), got.state_dict().values()))


@pytest.mark.slow
def test_a_stage_that_gets_sigterm_saves_and_ends_its_workers(tmp_path: Path) -> None:
    root = contest(tmp_path / "one", {"epochs": 1000})
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.pretrain", "a", "0"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "PODIUM_WORKERS": "2"},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            curve = root / "data/pretrain/a/0.live/plots/metrics/train/loss.tsv"
            while process.poll() is None and not (curve.exists() and curve.read_text().count("\n") > 2):
                time.sleep(0.01)  # until the second epoch has ended, so that there is a state of the first
            workers = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            errors = process.communicate()[1]
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert "ERROR: ended by SIGTERM: pretrain@a-0: `dvc repro` goes on from epoch " in errors
    assert "Traceback" not in errors
    assert saved(root) == ["0.state"]
    assert len(workers) >= 2
    assert not psutil.wait_procs(workers, timeout=60)[1]
