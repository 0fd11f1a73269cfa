"""One training in two processes on the CPU (gloo): the weights of one process, whatever ends on the way."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import timm
import torch
import yaml

from podium.core import interrupts
from podium.core.errors import InputError
from podium.models import backbones
from podium.models.settings import TorchSettings
from podium.training import distributed, losses, phase
from podium.training.distributed import OneProcess, ProcessGroup
from podium.training.trainer import Trainer
from stages import pretrain, weights
from tests import tiny
from tests.test_stage_training import digests

CPU = torch.device("cpu")
FROZEN = {"frozen": "batch_norms", "optimizer": "sgd", "lr": 0.05}  # processes on a CPU share no batch norms
CROP: list[dict[str, Any]] = [{"RandomResizedCrop": {"size": ["image_size", "image_size"]}}]


def contest(root: Path, devices: int, settings: dict[str, Any]) -> Path:
    root.mkdir()
    tiny.write(root, {"a": tiny.member(pretrain={**FROZEN, **settings})}, n_train=24)
    values = yaml.safe_load((root / "params.yaml").read_text())
    values["torch"]["devices"] = devices
    tiny.write_params(root, values)
    weights.main("a", root=root)
    return root


def trained(root: Path) -> dict[str, torch.Tensor]:
    pretrain.main("a", "0", root=root)
    return backbones.read(root / "models/pretrain/a/0.safetensors").state


def group(rank: int, count: int, batch_size: int, device: str = "cpu") -> ProcessGroup:
    return ProcessGroup(rank=rank, count=count, batch_size=batch_size, device=torch.device(device), key="k")


@pytest.mark.parametrize("batch_size", range(4, 12))
@pytest.mark.parametrize("count", [2, 3, 5])
def test_slices_divide_a_batch_and_part_no_pair(batch_size: int, count: int) -> None:
    slices = [distributed.places(batch_size, rank, count) for rank in range(count)]
    assert sorted(place for one in slices for place in one) == list(range(batch_size))
    for one in slices:
        assert [batch_size - 1 - place for place in one] == one[::-1]
    assert max(map(len, slices)) - min(map(len, slices)) <= 2


def test_the_shares_of_a_loss_make_the_loss_of_the_batch_whatever_its_weights() -> None:
    logits, targets = torch.randn(7, 3), torch.rand(7, 3)
    plain = losses.SoftTargetLoss(torch.tensor([1.0, 5.0, 0.2]), 0.1)
    for loss in (plain, losses.WeighedImagesLoss(losses.SoftTargetLoss(None, 0.0, name="bce"))):
        shares = []
        for rank in range(3):
            one = distributed.places(7, rank, 3)
            shares.append(group(rank, 3, 7).share(loss(logits[one], targets[one])))
        torch.testing.assert_close(sum(shares), loss(logits, targets))


# batches of 6 are divided into 2 and 4 images, those of 5 into 2 and 3; an epoch's last step has one batch of two
@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 6, "epochs": 2, "mixup": 0.4, "cutmix": 1.0, "augmentation": CROP, "ema_decay": 0.9},
        {
            "batch_size": 5,
            "epochs": 3,
            "accumulate": 2,
            "mixup": 0,
            "clip_grad": 0.1,
            "class_weights": "balanced",
            "gradient_checkpointing": True,
            "average_epochs": 2,
            "head_only_epochs": 1,
            "loss": "bce",
            "optimizer": "adamw",
            "lr": 0.003,
        },
    ],
    ids=["mixed", "accumulated"],
)
def test_two_processes_make_the_weights_of_one_and_the_same_bytes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    one = trained(contest(tmp_path / "one", 1, settings))
    two = trained(contest(tmp_path / "two", 2, settings))
    start = backbones.read(tmp_path / "one/models/weights/a.safetensors").state
    assert any((one[name] - value).abs().max() > 1e-3 for name, value in start.items() if name in one)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5, msg=name)
    monkeypatch.setenv("PODIUM_WORKERS", "1")
    trained(contest(tmp_path / "again", 2, settings))
    assert digests(tmp_path / "again") == digests(tmp_path / "two")
    assert digests(tmp_path / "one").keys() == digests(tmp_path / "two").keys()
    assert not followers()


def followers() -> list[psutil.Process]:
    """Return the processes that the fork server has started."""
    return [inner for outer in psutil.Process().children() for inner in outer.children()]


def test_after_the_end_of_one_process_or_a_signal_to_it_the_next_run_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"epochs": 4, "ema_decay": 0.9, "curves": False}
    trained(contest(tmp_path / "undisturbed", 2, settings))
    root = contest(tmp_path / "ended", 2, settings)
    log, ends = Trainer._log, {0: signal.SIGKILL, 1: signal.SIGTERM}

    def ending(self: Trainer, live: Any, epoch: Any, final: Any) -> None:
        log(self, live, epoch, final)
        if number := ends.pop(epoch.number, None):
            (follower,) = followers()
            follower.send_signal(number)

    monkeypatch.setattr(Trainer, "_log", ending)
    with pytest.raises(InputError, match=r"pretrain@a-0: process \d+ of `torch.devices` has ended with signal 9"):
        trained(root)
    with pytest.raises(interrupts.StopSignal) as error, interrupts.watched():
        trained(root)
    assert "goes on from epoch" in error.value.advice
    assert not ends
    assert not followers()
    assert [path.name for path in (root / ".resume").rglob("*.state")] == ["0.state"]
    trained(root)
    assert digests(root) == digests(tmp_path / "undisturbed")
    assert not [path for path in (root / ".resume").rglob("*") if path.is_file()]


def job(root: Path) -> phase.TrainingJob:
    tiny.write(root, {"a": tiny.member()}, n_train=4)
    values = yaml.safe_load((root / "params.yaml").read_text())
    values["torch"]["devices"] = 2
    tiny.write_params(root, values)
    return phase.load_job("pretrain", "a", "0", root)


def listening() -> set[str]:
    """Return the addresses at which this process listens."""
    return {one.laddr.ip for one in psutil.Process().net_connections() if one.status == psutil.CONN_LISTEN}


METHOD = "fork" if sys.platform == "linux" else "spawn"  # of loaders; those of a fork server outlive a kill


def refused(_device: torch.device, process: OneProcess) -> None:
    process.total(torch.ones(1))
    assert listening() == {"127.0.0.1"}
    assert multiprocessing.get_start_method() == METHOD
    if process.rank:
        raise InputError("x.png: no image")
    process.total(torch.ones(1))


def mistaken(_device: torch.device, process: OneProcess) -> None:
    if process.rank:
        raise ZeroDivisionError
    process.total(torch.ones(1))


def asleep(_device: torch.device, process: OneProcess) -> None:
    if process.rank:
        time.sleep(60)
    torch.distributed.set_timeout(timedelta(seconds=1))  # not while it starts, which may be slow
    process.total(torch.ones(1))


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (refused, InputError, "x.png: no image"),  # both listened at 127.0.0.1 alone until then
        (mistaken, RuntimeError, "ZeroDivisionError"),
        (asleep, InputError, "pretrain@a-0: .* has not answered"),
    ],
)
def test_an_error_of_another_process_is_shown_and_none_is_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: Callable[..., None], kind: type[Exception], words: str
) -> None:
    if function is asleep:
        monkeypatch.setattr(distributed, "GRACE", 0.1)
    with pytest.raises(kind, match=words):
        distributed.run(job(tmp_path), CPU, function)
    assert not torch.distributed.is_initialized()
    assert not followers()


STOPPED = distributed.threading.Event()


def gone(_device: torch.device, process: OneProcess) -> None:
    if process.rank:
        os._exit(3)
    STOPPED.wait(20)  # as a process in NCCL, which no error reaches


def test_a_process_that_cannot_notice_the_end_of_another_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(distributed, "GRACE", 0.1)
    monkeypatch.setattr(distributed.os, "_exit", lambda _status: STOPPED.set())
    with pytest.raises(InputError, match="status 3"):
        distributed.run(job(tmp_path), CPU, gone)
    assert STOPPED.is_set()
    assert "status 3" in capsys.readouterr().err


def test_one_process_starts_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_Followers", lambda *_: pytest.fail("a process was started"))
    tiny.write(tmp_path, {"a": tiny.member()}, n_train=4)
    called: list[OneProcess] = []
    one = phase.load_job("pretrain", "a", "0", tmp_path)
    distributed.run(one, CPU, lambda _device, process: called.append(process))
    assert called == [OneProcess()]
    batch, model = torch.ones(3), torch.nn.Linear(1, 1)
    assert called[0].share(batch) is called[0].total(batch) is batch
    assert called[0].prepared(model) is model


def test_batch_norms_of_gpus_see_whole_batches_and_those_of_cpus_are_refused() -> None:
    model = timm.create_model("mobilenetv2_035", num_classes=2)
    names, learned = list(model.state_dict()), list(model.parameters())
    with pytest.raises(InputError, match=r"torch.devices: 2 .*k\.frozen: batch_norms"):
        group(0, 2, 4).prepared(model)
    assert group(0, 2, 4).prepared(model.eval()) is model
    converted = group(0, 2, 4, "cuda").prepared(model.train())
    assert isinstance(converted.bn1, torch.nn.SyncBatchNorm)
    assert isinstance(converted.bn1.act, type(model.bn1.act))
    assert list(converted.state_dict()) == names
    assert all(map(lambda one, other: one is other, converted.parameters(), learned))


def test_gpus_that_are_not_there_are_refused_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"torch.devices: 2, but .* 0 CUDA GPUs"):
        distributed.require(2, "auto", CPU)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"torch.devices: 3, but .* 2 CUDA GPUs; set it to 2"):
        distributed.require(3, "auto", torch.device("cuda"))
    distributed.require(2, "auto", torch.device("cuda"))
    distributed.require(2, "cpu", CPU)
    with pytest.raises(InputError, match=r"members.a.pretrain.batch_size: 4 .* at least 6"):
        distributed.require_images(3, 4, "members.a.pretrain")
    with pytest.raises(ValueError, match="mps"):
        TorchSettings(device="mps", devices=2)


def test_gradients_are_summed_in_buckets_in_the_order_of_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "BUCKET", 5)
    sizes = [[t.numel() for t in bucket] for bucket in distributed._buckets([torch.ones(n) for n in (2, 3, 1, 9, 1)])]
    assert sizes == [[2, 3], [1], [9], [1]]
