"""Stages that need no torch start at once."""

import subprocess
import sys

import pytest

from tests import graph
from tests.test_dvc_yaml import WITHOUT_TORCH

SECONDS = 2.0

PROGRAM = """
import sys, time
start = time.process_time()
import stages.{stage}
print(time.process_time() - start, "torch" in sys.modules)
"""


@pytest.mark.parametrize("stage", [*WITHOUT_TORCH, "prepare"])
def test_a_stage_without_torch_is_imported_in_two_seconds(stage: str) -> None:
    def measured() -> float:
        command = [sys.executable, "-c", PROGRAM.format(stage=stage)]
        seconds, torch = subprocess.run(
            command, cwd=graph.PROJECT, capture_output=True, text=True, check=True
        ).stdout.split()
        assert torch == "False"
        return float(seconds)

    assert any(measured() < SECONDS for _ in range(5))  # processor time; tried again, since the machine may be busy


@pytest.mark.parametrize("stage", ["probe", "pretrain", "finetune", "fixres", "infer", "infer_fixres"])
def test_a_stage_is_imported_without_the_torch_it_needs_later(stage: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(stage=stage)]
    assert "False" in subprocess.run(command, cwd=graph.PROJECT, capture_output=True, text=True, check=True).stdout


def test_a_stage_is_imported_without_looking_for_garbage_again_and_again() -> None:
    program = """
import gc
from podium.core import cli
def main():
    from podium.training import trainer
cli.run(main)
print(sum(generation["collections"] for generation in gc.get_stats()))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=graph.PROJECT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200  # by Python's own limits over a thousand, and two seconds more of a start
