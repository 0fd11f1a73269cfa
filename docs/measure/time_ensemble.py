"""Measure time and memory of `ensemble` on generated predictions: `python -m docs.measure.time_ensemble FOLDER`.

Writes members' predictions into FOLDER, where the next call with the same numbers finds them. Runs the stage there in a
process of its own, and prints its seconds and its peak resident memory. `--stages ensemble report ladder` also runs the
two stages that read the outputs of `ensemble`.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from podium import contracts
from podium.core import cli, seeding, tables
from podium.core.errors import InputError
from podium.predictions.member_predictions import JOINT_PROBE_SIZE

STAGES = ("ensemble", "report", "ladder")
FOLDS = ("0", "1", "2", "3", "4")
TRANSFORMS = ("hflip", "identity")
CLASS = "{:04}"  # numeric, because quadratic kappa needs numbers
Images = tuple[pd.DataFrame, pd.DataFrame]  # train and test images with a column of class indices
EVERY = 0.1  # seconds between two readings of a stage's memory


def main(*words: str) -> None:
    """Generate missing predictions, run the stages, and print time and memory."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.time_ensemble", description="Seconds and memory.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--sizes", type=int, default=5)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--tests", type=int, default=1_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--metric", default="accuracy")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES[:1], help="stages to run, in this order")
    asked = parser.parse_args(words)
    sizes = [224 + 32 * index for index in range(asked.sizes)]
    members = {f"m{index:02}": _settings(sizes) for index in range(asked.members)}
    truth = _write_tables(asked.folder, asked.images, asked.tests, asked.classes)
    for index, name in enumerate(members):
        if not (asked.folder / f"data/probe/{name}.parquet").exists():
            _write_member(asked.folder, index, name, sizes, truth)
    _write_joint_probe(asked.folder, truth)
    _write_settings(asked.folder, members, asked.metric)
    for stage in asked.stages:
        _run(stage, asked.folder)


def _run(stage: str, folder: Path) -> None:
    begun = time.monotonic()
    project = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", f"stages.{stage}"]
    with psutil.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": project}) as started:
        peak, cpu_seconds = _watched(started)
    seconds = time.monotonic() - begun
    if started.returncode:
        raise InputError(f"{stage} failed")
    print(f"{stage}: {seconds:.0f} s, {cpu_seconds:.0f} s of CPU time, peak {peak / 2**30:.2f} GB")


def _watched(started: psutil.Popen) -> tuple[int, float]:
    """Return the peak resident memory (bytes) and the CPU seconds of a process and its children together.

    Memory is read every EVERY seconds; a page shared by several processes counts once for each.
    """
    peak, seconds = 0, {}
    while started.poll() is None:
        memory = 0
        for process in (started, *started.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                memory += process.memory_info().rss
                times = process.cpu_times()
                seconds[process.pid] = times.user + times.system
        peak = max(peak, memory)
        time.sleep(EVERY)
    return peak, sum(seconds.values())


def _settings(sizes: list[int]) -> dict[str, object]:
    return {
        "model": {"backbone": "resnet10t", "weights": "none", "image_size": sizes[0]},
        "pretrain": {"epochs": 0, "lr": 0.01},
        "finetune": {"epochs": 1, "lr": 0.01},
        "infer": {"image_sizes": sizes, "transforms": list(TRANSFORMS)},
    }


def _write_settings(folder: Path, members: dict[str, dict[str, object]], metric: str, method: str = "auto") -> None:
    (folder / "placeholders").mkdir(exist_ok=True)
    (folder / "placeholders/none.csv").touch()
    contest = {"images": {"train": "train", "test": "test"}, "metric": metric}
    values = {
        "folds": list(FOLDS),
        "contest": contest,
        "members": members,
        "fixres": {},
        "pseudo": {},
        "distill": {},
        "external": {},
    }
    values["ensemble"] = {"method": method}
    tables.write_text(yaml.safe_dump(values, sort_keys=False), folder / "params.yaml")


def _write_tables(folder: Path, n_images: int, n_tests: int, n_classes: int) -> Images:
    """Write folds.csv and the test images' facts; return train and test images with a column of class indices."""
    rng = np.random.default_rng(seeding.derive("timed", n_images, n_classes))
    frames = []
    for kind, count in (("train", n_images), ("test", n_tests)):
        names = [f"{kind}{index:06}.jpg" for index in range(count)]
        frames.append(pd.DataFrame({"image_id": names, "target": rng.integers(0, n_classes, count)}))
    train, test = frames
    train["target"] = np.arange(n_images) % n_classes
    train["fold"] = [FOLDS[index] for index in rng.permutation(n_images) % len(FOLDS)]
    names = train["target"].map(CLASS.format)
    table = train[["image_id", "fold"]].assign(label=names, use="train", reason="", group=train["image_id"])
    tables.write(table, folder / "data/split/folds.csv", tables.FOLDS)
    facts = test[["image_id"]].assign(
        width=9, height=9, mode="RGB", format="PNG", bytes=1, sha256="", problem="", note=""
    )
    tables.write(facts, folder / "data/prepare/test/facts.csv", contracts.FACTS)
    return train, test


def _write_member(folder: Path, index: int, name: str, sizes: list[int], images: Images) -> None:
    """Write what `infer`, `probe` and `finetune` write for a member."""
    phase = folder / f"data/finetune/{name}"
    rng = np.random.default_rng(seeding.derive("timed", index))
    for fold, table in _write_predictions(folder / f"data/infer/{name}.parquet", rng, sizes, TRANSFORMS, images):
        _write_phase(phase, fold, table)
    rng = np.random.default_rng(seeding.derive("timed", "probe", index))
    _write_predictions(folder / f"data/probe/{name}.parquet", rng, sizes, TRANSFORMS, images)


def _write_joint_probe(folder: Path, images: Images) -> None:
    rng = np.random.default_rng(seeding.derive("timed", "joint probe"))
    path = folder / "data/joint_probe/predictions.parquet"
    _write_predictions(path, rng, [JOINT_PROBE_SIZE], ("identity",), images)


def _write_predictions(
    path: Path, rng: np.random.Generator, sizes: list[int], transforms: Sequence[str], images: Images
) -> list[tuple[str, pd.DataFrame]]:
    """Write a row group per fold, subset, size and transform, as `infer` does.

    Returns:
        each fold's out-of-fold predictions at the first size in the identity transform.
    """
    train, test = images
    n_classes, writer = int(train["target"].max()) + 1, None
    plain = []
    with tables.replacing(path) as temporary:
        for fold in FOLDS:
            held_out = train[train["fold"] == fold]
            for subset, rows in (("train", held_out), ("test", test)):
                shared = rng.normal(size=(len(rows), n_classes))
                for size in sizes:
                    for transform in transforms:
                        cells = rows[["image_id"]].assign(
                            subset=subset, fold=fold, image_size=size, transform=transform
                        )
                        table = _with_probs(cells, rows["target"].to_numpy(), shared, n_classes, rng)
                        arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
                        writer = writer or pq.ParquetWriter(temporary, arrow.schema, compression="zstd")
                        writer.write_table(arrow)
                        if (subset, size, transform) == ("train", sizes[0], "identity"):
                            plain.append((fold, table))
        assert writer is not None
        writer.close()
    return plain


def _with_probs(
    cells: pd.DataFrame,
    targets: NDArray[np.int64],
    shared: NDArray[np.float64],
    n_classes: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    logits = shared + 0.3 * rng.normal(size=shared.shape)
    logits[np.arange(len(targets)), targets] += 1.5 + np.log(n_classes) / 2
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = (exps / exps.sum(axis=1, keepdims=True)).astype(np.float32)
    return tables.with_probs(cells, probs, [CLASS.format(index) for index in range(n_classes)])


def _write_phase(folder: Path, fold: str, table: pd.DataFrame) -> None:
    tables.write(table, folder / f"{fold}.parquet", tables.PREDICTIONS)
    tables.write_text("step\tloss\n0\t0.9\n", folder / f"{fold}.live/plots/metrics/train/loss.tsv")


if __name__ == "__main__":
    cli.run(main)
