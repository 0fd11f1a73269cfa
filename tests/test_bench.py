"""docs.measure.bench: its project trains, its ceiling trains from memory, its ratios are by turns."""

import argparse
import subprocess
import time
from pathlib import Path
from unittest import mock

import pytest
import torch

from docs.measure import bench, bench_project
from docs.measure.bench import Seconds
from podium.core import tables, workers
from podium.core.errors import InputError
from podium.core.pixels import PixelPack


def asked(device: str = "cpu") -> argparse.Namespace:
    values = {"backbone": "resnet10t", "image_size": 32, "precision": "fp32", "epochs": 2, "batch": 4, "threads": 1}
    return argparse.Namespace(**values, device=device, script=Path("train.py"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PODIUM_WORKERS", "0")
    bench_project.write(tmp_path, 60, None, bench.settings(asked()), n_images=8)
    return tmp_path


def test_the_ceiling_trains_without_a_pixel_and_every_part_takes_time(root: Path) -> None:
    parts = bench.parts(root)
    assert list(parts)[:6] == ["load", "augment", "copy", "forward", "backward", "step"]
    assert all(milliseconds > 0 for milliseconds in parts.values())
    assert bench.timm_load(root, 32) > 0
    bench.write_batches(root)
    with mock.patch.object(PixelPack, "__getitem__", side_effect=AssertionError("a pixel was read")):
        bench.train_in_memory(root)
    held_out = tables.read(root / f"data/finetune/{bench_project.MEMBER}/0.parquet", tables.PREDICTIONS)
    assert list(held_out["image_id"]) == ["00008.jpg", "00009.jpg"]


def test_a_process_is_timed_and_its_failure_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = bench.run(["python", "-c", "sum(range(10**6))"], tmp_path, 1)
    assert taken.cpu > 0
    assert taken.wall > 0
    with pytest.raises(subprocess.CalledProcessError):
        bench.run(["python", "-c", "raise SystemExit('no memory')"], tmp_path, 1)
    assert "no memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--script", "missing/train.py"), "SCRIPT"),
        (("--photos", "missing"), "--photos missing"),
        (("--repeats", "-1"), "--repeats -1"),
        (("--epochs", "0"), "--epochs 0"),
        (("--image-size", "0"), "--image-size 0"),
        (("--images", "90"), "multiple of --batch"),
        (("--device", "cuda"), "no CUDA GPU"),
    ],
)
def test_options_that_would_fail_late_or_be_ignored_are_refused(words: tuple[str, ...], named: str) -> None:
    with (
        mock.patch.object(bench_project, "write", side_effect=AssertionError("it has begun")),
        mock.patch.object(torch.cuda, "is_available", return_value=False),
        pytest.raises(InputError, match=named),
    ):
        bench.main(*words)


def test_on_a_gpu_all_train_there_and_load_by_as_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODIUM_WORKERS", raising=False)
    monkeypatch.setattr(workers, "cores", lambda: 5)
    for device, n_workers in (("cpu", "0"), ("cuda", "5")):
        words = bench.timm_command(asked(device), Path())
        assert words[words.index("--device") + 1] == bench.settings(asked(device))["torch"]["device"] == device
        assert words[words.index("--workers") + 1] == n_workers


def test_the_time_of_a_part_on_a_gpu_ends_with_its_work() -> None:
    clock = bench.PartClock(torch.device("cuda"))
    with mock.patch.object(torch.cuda, "synchronize", side_effect=lambda: time.sleep(0.05)), clock.part("forward"):
        pass
    assert clock.seconds["forward"] >= 0.05


def test_ratios_are_of_the_turns() -> None:
    ours, theirs = [Seconds(1, 2), Seconds(10, 2)], [Seconds(2, 3), Seconds(20, 5)]
    assert bench.ratios(ours, theirs) == "clock 2.00 (2.00 to 2.00); processor time 2.00 (1.50 to 2.50)"
