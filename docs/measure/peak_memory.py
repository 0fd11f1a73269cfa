"""Measure the peak memory of stages with many classes: `python -m docs.measure.peak_memory FOLDER`.

Writes predictions of random numbers into FOLDER, where the next call with the same numbers finds them. Runs each stage
there in a process of its own, `infer` and the probes without a network. Prints the peak resident memory, and how many
tables of probabilities that is (train images x classes x 4 bytes).
"""

import argparse
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from docs.measure import time_ensemble
from docs.measure.time_ensemble import CLASS, FOLDS, TRANSFORMS, Images
from podium import contracts
from podium.core import cli, pixels, row_groups, tables
from podium.core.errors import InputError
from podium.inference import fold_models
from podium.models import predict
from podium.predictions.member_predictions import JOINT_PROBE_SIZE
from podium.probes import linear_probe, member_probe

STAGES = ("infer", "probe", "joint_probe", "ensemble", "report", "ladder", "review")
ALONE = STAGES[:3]  # of these only what they write, without their networks and fits
SIZE = 224  # pixels
N_FEATURES = 512
Probs = NDArray[np.float32]
# A process between this one and the stage, because Linux counts the memory of the process that starts another
LAUNCHER = """
import os, subprocess, sys
started = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(started.pid, 0)
print(used.ru_maxrss)
sys.exit(bool(status))
"""


def main(*words: str) -> None:
    """Generate missing predictions, run the stages and print their peaks."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.peak_memory", description="Peak memory of stages.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--tests", type=int, default=1_000)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--method", default="auto", help="of the ensemble")
    parser.add_argument("--project", type=Path, default=Path(__file__).parents[2], help="whose code runs")
    parser.add_argument("--only", choices=ALONE, help="write this stage's output in this process")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    asked = parser.parse_args(words)
    if asked.only:
        _write_without_network(asked.only, asked)
        return
    _generate(asked)
    table = asked.images * asked.classes * 4
    for stage in asked.stages:
        peak = _peak(stage, asked)
        print(f"{stage}: peak {peak / 1e9:.2f} GB, {peak / table:.1f} tables of {table / 1e9:.2f} GB", flush=True)


def _peak(stage: str, asked: argparse.Namespace) -> int:
    """Return the largest resident memory (bytes) of a stage's processes."""
    command, folder = [sys.executable, "-m", f"stages.{stage}"], asked.folder
    if stage in ALONE:
        numbers = [f"--{name}={getattr(asked, name)}" for name in ("images", "tests", "classes")]
        here = str(folder.resolve())
        command = [sys.executable, "-m", "docs.measure.peak_memory", here, *numbers, "--only", stage]
        folder = asked.project
    environment = {**os.environ, "PYTHONPATH": str(asked.project)}
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *command], cwd=folder, env=environment, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise InputError(f"{stage} failed")
    return int(done.stdout.split()[-1]) * 1024  # Linux counts KiB


def _generate(asked: argparse.Namespace) -> None:
    folder = asked.folder
    members = {f"m{index:02}": time_ensemble._settings([SIZE]) for index in range(asked.members)}
    images = time_ensemble._write_tables(folder, asked.images, asked.tests, asked.classes)
    time_ensemble._write_settings(folder, members, "accuracy", asked.method)
    paths = [f"data/{kind}/{name}" for kind in ("infer", "probe") for name in members]
    for path in paths:
        _write_predictions(folder / f"{path}.parquet", images, SIZE, TRANSFORMS)
    _write_predictions(folder / "data/joint_probe/predictions.parquet", images, JOINT_PROBE_SIZE, TRANSFORMS[1:])
    for name in members:
        for fold in FOLDS:
            held_out = images[0][images[0]["fold"] == fold]
            table = _table(held_out, _probs(held_out["target"].to_numpy(), asked.classes), fold=fold)
            time_ensemble._write_phase(folder / f"data/finetune/{name}", fold, table)
    _write_for_review(folder, images[0])


def _write_predictions(path: Path, images: Images, size: int, transforms: Sequence[str]) -> None:
    """Write a table per fold, subset and transform, as `infer` does, unless they are there."""
    if path.exists():
        return
    train, test = images
    n_classes = int(train["target"].max()) + 1
    with row_groups.writing(path) as append:
        for fold, transform in itertools.product(FOLDS, transforms):
            for subset, rows in (("train", train[train["fold"] == fold]), ("test", test)):
                probs = _probs(rows["target"].to_numpy(), n_classes)
                append(_table(rows, probs, subset=subset, fold=fold, size=size, transform=transform))


def _write_for_review(folder: Path, train: pd.DataFrame) -> None:
    for path, contract in (
        ("label/overrides_applied", contracts.OVERRIDES_APPLIED),
        ("analyze/clusters", contracts.CLUSTERS),
    ):
        empty = pd.DataFrame({name: pd.Series(dtype="str") for name in contract.columns})
        tables.write(empty, folder / f"data/{path}.csv", contract)
    pack = folder / "data/prepare/train/pixels.arrow"
    if not pack.exists():
        pack.parent.mkdir(parents=True, exist_ok=True)
        with pixels.Writer(pack, encoding="raw") as writer:
            for name in train["image_id"]:
                writer.add(name, np.zeros((8, 8, 3), np.uint8))


def _table(
    rows: pd.DataFrame, probs: Probs, *, fold: str, subset: str = "train", size: int = SIZE, transform: str = "identity"
) -> pd.DataFrame:
    classes = [CLASS.format(index) for index in range(probs.shape[1])]
    return predict.prediction_table(
        list(rows["image_id"]), probs, classes, subset=subset, fold=fold, image_size=size, transform=transform
    )


def _probs(targets: NDArray[np.int64], n_classes: int) -> Probs:
    """Return quickly drawn probabilities, half of it the right class's on average."""
    rng = np.random.default_rng(len(targets))
    probs = rng.random((len(targets), n_classes), np.float32)
    probs[np.arange(len(targets)), targets] += rng.random(len(targets), np.float32) * n_classes
    probs /= probs.sum(1, keepdims=True)
    return probs


def _write_without_network(stage: str, asked: argparse.Namespace) -> None:
    """Write what a stage writes, from random numbers in place of a network's outputs, as it keeps them in memory."""
    train, test = time_ensemble._write_tables(asked.folder, asked.images, asked.tests, asked.classes)
    if stage == "infer":
        found = _tables_of_infer(train, test, asked.classes)
    else:
        found = _tables_of_probe(train, test, asked.classes, TRANSFORMS if stage == "probe" else TRANSFORMS[1:])
    fold_models.write(asked.folder / f"{stage}.parquet", found)


def _tables_of_probe(
    train: pd.DataFrame, test: pd.DataFrame, n_classes: int, transforms: Sequence[str]
) -> Iterator[pd.DataFrame]:
    classes, folds = [CLASS.format(index) for index in range(n_classes)], train["fold"].to_numpy(str)
    weights = np.zeros((n_classes, N_FEATURES)), np.zeros(n_classes), 0.0
    with mock.patch.object(linear_probe, "fit_folds", return_value=dict.fromkeys(FOLDS, weights)):
        probed = linear_probe.predict_folds(
            np.zeros((len(train), len(transforms), N_FEATURES), np.float32),
            train["target"].to_numpy(),
            folds,
            np.zeros((len(test), len(transforms), N_FEATURES), np.float32),
            n_classes=n_classes,
            seeds=dict.fromkeys(FOLDS, 0),
        )
    ids = list(train["image_id"]), list(test["image_id"])
    images = member_probe.ProbeImages(ids[0], train["target"].to_numpy(), folds, ids[1], classes, list(FOLDS))
    return member_probe.prediction_tables(images, probed, SIZE, transforms)


def _tables_of_infer(train: pd.DataFrame, test: pd.DataFrame, n_classes: int) -> Iterator[pd.DataFrame]:
    for fold in FOLDS:
        for subset, rows in (("train", train[train["fold"] == fold]), ("test", test)):
            probs = {name: _probs(rows["target"].to_numpy(), n_classes) for name in TRANSFORMS}
            for transform in TRANSFORMS:
                yield _table(rows, probs[transform], subset=subset, fold=fold, transform=transform)


if __name__ == "__main__":
    cli.run(main)
