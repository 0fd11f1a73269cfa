"""Stages that need no torch start at once."""

import subprocess
import sys

import pytest

from tests import graph
from tests.test_dvc_yaml import WITHOUT_TORCH

# Each costs a second or more at every start. Seconds themselves are no test: a slow machine is no defect of the code.
SLOW = (
    "torch",
    "timm",
    "torchvision",
    "sklearn",
    "scipy.stats",
    "albumentations",
    "cleanlab",
    "cleanvision",
    "dvclive",
)

PROGRAM = """
import sys
import stages.{stage}
print(*sorted(set({slow}) & set(sys.modules)))
"""


def slow_modules(stage: str) -> list[str]:
    """The slow libraries that importing a stage brings."""
    command = [sys.executable, "-c", PROGRAM.format(stage=stage, slow=SLOW)]
    done = subprocess.run(command, cwd=graph.PROJECT, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("stage", [*WITHOUT_TORCH, "prepare"])
def test_a_stage_is_imported_without_slow_libraries(stage: str) -> None:
    assert not slow_modules(stage)


TRAINING = (
    *("probe", "joint_probe", "pretrain", "finetune", "fixres", "pseudo", "distill"),
    *("infer", "infer_pretrain", "infer_fixres", "infer_pseudo"),
)


@pytest.mark.parametrize("stage", TRAINING)
def test_a_stage_is_imported_without_the_torch_it_needs_later(stage: str) -> None:
    assert "torch" not in slow_modules(stage)


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
