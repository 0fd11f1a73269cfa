"""Stages that need no torch start at once."""

import functools
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
TRAINING = ("probe", "joint_probe", "pretrain", "finetune", "fixres", "infer", "infer_pretrain", "infer_fixres")

PROGRAM = f"""
import importlib, sys
for stage in sys.argv[1:]:
    importlib.import_module(f"stages.{{stage}}")
    print(stage, *sorted({set(SLOW)} & set(sys.modules)))
"""


@functools.cache
def slow_modules() -> dict[str, set[str]]:
    """The slow libraries that are there once a stage, and all before it, are imported.

    One process for all stages is enough: modules stay, so a stage that brings one fails with all stages after it.
    """
    command = [sys.executable, "-c", PROGRAM, *WITHOUT_TORCH, *TRAINING]
    done = subprocess.run(command, cwd=graph.PROJECT, capture_output=True, text=True, check=True)
    return {stage: set(slow) for stage, *slow in (line.split() for line in done.stdout.splitlines())}


@pytest.mark.parametrize("stage", WITHOUT_TORCH)
def test_a_stage_is_imported_without_slow_libraries(stage: str) -> None:
    assert not slow_modules()[stage]


@pytest.mark.parametrize("stage", TRAINING)
def test_a_stage_is_imported_without_the_torch_it_needs_later(stage: str) -> None:
    assert "torch" not in slow_modules()[stage]


def test_a_stage_is_imported_without_looking_for_garbage_again_and_again() -> None:
    """Importing torch and timm makes two million objects; by Python's own limits, two seconds more of a start."""
    program = """
import gc
from podium.core import cli
def main():
    global objects
    objects = [[] for _ in range(2_000_000)]
cli.run(main)
print(sum(generation["collections"] for generation in gc.get_stats()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=graph.PROJECT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 200  # by Python's own limits over a thousand
