"""Measure how fast a recipe's members train and predict: `python -m docs.measure.time_training recipes/winner.yaml`.

Trains each member with its settings on generated images, from random weights (no download, no file) and at a constant
lr; then predicts the images at the member's image sizes. Prints milliseconds per step and images per second, loading,
augmentation and copies included, and the GPU memory. With --again it trains twice and prints whether the weights are
the same bytes.
"""

import argparse
import contextlib
import hashlib
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from dvclive import Live
from torch import nn

from podium.core import cli, params, pixels
from podium.core.errors import InputError
from podium.inference.settings import InferSettings
from podium.models import backbones, devices, plain_images, predict
from podium.models.settings import ModelSettings, TorchSettings
from podium.training import loop, phase
from podium.training.settings import FinetuneSettings, PretrainSettings
from podium.training.trainer import Trainer

PHASES: dict[str, type[PretrainSettings] | type[FinetuneSettings]] = {
    "pretrain": PretrainSettings,
    "finetune": FinetuneSettings,
}
AT_ONCE = {"schedule": "constant", "decay_epochs": (), "warmup_epochs": 0, "head_only_epochs": 0, "head_init": "keep"}
HALF = (0.5, 0.5, 0.5)
CLASSES = ["no", "yes"]
SIDE = 320  # pixels of a generated image


class EpochTimer(Trainer):
    """A trainer that times its epochs; it scores nothing and writes no weights."""

    def run(self) -> None:
        """Train."""
        self.ends = [time.perf_counter()]
        with tempfile.TemporaryDirectory() as folder, Live(dir=folder, dvcyaml=None, save_dvc_exp=False) as live:
            self.model = self._fit(self.numerics.place(self._model()), live)

    def _log(self, live: Live, epoch: loop.Epoch, kept: nn.Module) -> None:
        del live, epoch, kept
        _wait()
        self.ends.append(time.perf_counter())

    def digest(self) -> str:
        """Return a hash of the trained weights."""
        values = (value.cpu().contiguous() for value in self.model.state_dict().values())
        return hashlib.sha256(b"".join(value.numpy().tobytes() for value in values)).hexdigest()


def main(*words: str) -> None:
    """Generate images, then train and predict each member and print its speed."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.time_training", description="Milliseconds a step.")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--members", nargs="+", help="default: all")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=["pretrain"])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=3, help="the first and the last are not timed")
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16", "fp16"), help="instead of the recipe's")
    parser.add_argument("--compile", action="store_true", help="compile all members")
    parser.add_argument("--again", action="store_true", help="train twice and compare the weights")
    asked = parser.parse_args(words)
    if asked.epochs < 3:  # the first includes the start, and during the last no further epoch is loaded
        parser.error("--epochs: at least 3, because the first and the last are not timed")
    if asked.images < 1:
        parser.error("--images: at least 1")
    with tempfile.TemporaryDirectory() as folder:
        failed = _time(asked, Path(folder))
    if failed:
        raise SystemExit(1)


def _time(asked: argparse.Namespace, root: Path) -> bool:
    """Time all members; return whether one of them failed."""
    settings, jobs = _read(asked, root)
    device = devices.start(settings)
    place = torch.cuda.get_device_name() if device.type == "cuda" else f"{settings.threads} threads of the CPU"
    print(f"torch {torch.__version__}, {place}; {asked.images} images of {SIDE} pixels", flush=True)
    data, failed = _generate(root, asked.images), False
    for job, infer in jobs:
        try:
            print(_row(job, infer, data, device, again=asked.again), flush=True)
        except Exception as error:  # e.g. out of memory, or an unsupported size: time the other members all the same
            print(f"{job.member} {job.phase}: {type(error).__name__}: {error}", flush=True)
            failed = True
    return failed


def _read(asked: argparse.Namespace, root: Path) -> tuple[TorchSettings, list[tuple[phase.TrainingJob, InferSettings]]]:
    """Read the recipe; mistakes are reported before the first training.

    Raises:
        InputError: the recipe cannot be read, or a setting is wrong.
    """
    try:
        recipe = yaml.safe_load(asked.recipe.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{asked.recipe}: cannot be read as YAML: {error}") from None
    try:
        settings = params.parse(params.section(recipe, "torch"), "torch", TorchSettings)
        return settings, list(_jobs(recipe, settings, asked, root))
    except InputError as error:
        raise InputError(str(error).replace("params.yaml", str(asked.recipe))) from None


def _generate(root: Path, n_images: int) -> phase.FoldImages:
    rng = np.random.default_rng(0)
    ids = [f"{index:06}.png" for index in range(n_images)]
    with pixels.Writer(root / "data/prepare/train/pixels.arrow", encoding="raw") as writer:
        for name in ids:
            writer.add(name, rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    images = phase.LabelledImages(ids, np.arange(n_images) % len(CLASSES))
    return phase.FoldImages(CLASSES, images, images)


def _jobs(
    recipe: dict[str, Any], settings: TorchSettings, asked: argparse.Namespace, root: Path
) -> Iterator[tuple[phase.TrainingJob, InferSettings]]:
    for member in asked.members or params.section(recipe, "members"):
        key = f"members.{member}"
        model = params.parse(params.section(recipe, f"{key}.model"), f"{key}.model", ModelSettings)
        infer = params.parse(params.section(recipe, f"{key}.infer"), f"{key}.infer", InferSettings)
        for name in asked.phases:
            trained = params.parse(params.section(recipe, f"{key}.{name}"), f"{key}.{name}", PHASES[name])
            trained = trained.model_copy(update={**AT_ONCE, "epochs": asked.epochs})
            for precision in asked.precision or [model.precision]:
                changed = model.model_copy(
                    update={"precision": precision, "compile": model.compile or asked.compile, "weights": "none"}
                )
                yield phase.TrainingJob(name, member, "0", changed, trained, settings, root), infer


def _row(
    job: phase.TrainingJob, infer: InferSettings, data: phase.FoldImages, device: torch.device, *, again: bool
) -> str:
    trained = _train(job, data, device)
    steps = -(-len(data.train.image_ids) // job.settings.batch_size)
    seconds = (trained.ends[-2] - trained.ends[1]) / (len(trained.ends) - 3)
    start = trained.ends[1] - trained.ends[0] - seconds
    parts = [
        f"{job.member} {job.phase} {job.model.precision}{' compiled' if job.model.compile else ''}:",
        f"{1000 * seconds / steps:.1f} ms per step of {job.settings.batch_size},",
        f"{len(data.train.image_ids) / seconds:.0f} images/s, start {start:.1f} s",
    ]
    if device.type == "cuda":
        parts.append(f"; {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of GPU memory")
    parts.append("; predicts " + ", ".join(_predict(trained, data, infer)))
    if again:
        same = _train(job, data, device).digest() == trained.digest()
        parts.append("; again: " + ("the same bytes" if same else "OTHER BYTES"))
    return " ".join(parts).replace(" ;", ";")


def _train(job: phase.TrainingJob, data: phase.FoldImages, device: torch.device) -> EpochTimer:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    torch.compiler.reset()
    torch.manual_seed(0)
    model = backbones.create(job.model.backbone, n_classes=0, model_kwargs=job.model.model_kwargs)
    start = backbones.Checkpoint(model.state_dict(), {"preprocessing": {"mean": HALF, "std": HALF}})
    trainer = EpochTimer(job, start, data, devices.Numerics(device, job.model.precision, job.model.channels_last))
    with contextlib.redirect_stdout(io.StringIO()):  # hides the message that the head is new
        devices.reproducibly(job.name, trainer.run)
    return trainer


def _predict(trained: EpochTimer, data: phase.FoldImages, infer: InferSettings) -> Iterator[str]:
    for image_size in infer.image_sizes:
        for _ in range(2):  # the first includes the start
            begun = time.perf_counter()
            predict.probabilities(
                trained.model,
                plain_images.PlainImages(trained.packed, data.train.image_ids, trained.preprocessing, image_size),
                transforms=infer.transforms,
                batch_size=infer.batch_size,
                numerics=trained.numerics,
            )
            _wait()
            seconds = time.perf_counter() - begun
        yield f"{len(data.train.image_ids) / seconds:.0f} images/s at {image_size}"


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    cli.run(main)
