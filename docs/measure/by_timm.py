"""Train a member's backbone with timm's own script: `python -m docs.measure.by_timm ROOT MEMBER --script train.py ...`.

ROOT is a project in which `dvc repro weights split` is done; --script is train.py of timm's git repository. Each
fold is one run of the script with its defaults for images of another size and class list: AdamW, cosine, random crops,
colour jitter, label smoothing. The last epoch's weights predict the held-out fold. The predictions go to
FOLDER/timm/<seed>/<fold>.parquet, where docs/measure/ablation.py reads them (`--variants base timm`).
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import timm
import torch

from docs.measure import bench, one_class
from podium.core import cli, params, pixels, tables
from podium.core.errors import InputError
from podium.models import devices, predict
from podium.models.plain_images import PlainImages
from podium.models.preprocessing import Preprocessing
from podium.models.settings import ModelSettings, TorchSettings
from podium.training.phase import FoldImages, LabelledImages, read_fold


def main(*words: str) -> None:
    """Train and predict every fold for every seed."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.by_timm", description="Training by timm's script.")
    parser.add_argument("root", type=Path)
    parser.add_argument("member")
    parser.add_argument("--script", type=Path, required=True, help="train.py of timm")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folds", nargs="+", help="default: all")
    parser.add_argument("--bf16", action="store_true", help="train in bf16, by torch's autocast")
    args = parser.parse_args(words)
    root = args.root.resolve()
    one_class.require(root)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    for seed in args.seeds:
        for fold in args.folds or [str(name) for name in params.section(params.read(root), "folds")]:
            path = args.out.resolve() / f"timm/{seed}/{fold}.parquet"
            if not path.exists():
                run = FoldRun(root, args.member, read_fold(folds, fold), fold, args.bf16)
                run.run(args.script, args.epochs, seed, path)
                print(f"{fold}: {path}", flush=True)


@dataclass(frozen=True)
class FoldRun:
    """One fold's training of a member's backbone by the script."""

    root: Path
    member: str
    data: FoldImages
    fold: str
    bf16: bool

    def run(self, script: Path, epochs: int, seed: int, path: Path) -> None:
        """Train and write the predictions of the held-out fold to `path`."""
        with tempfile.TemporaryDirectory() as name:
            self._write_images(Path(name) / "train", self.data.train)
            self._write_images(Path(name) / "validation", self.data.held_out)
            words = ["--seed", str(seed), *self._settings(epochs), "--output", name]
            command = [sys.executable, str(script.resolve()), name, *words]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            with torch.serialization.safe_globals([argparse.Namespace]):  # its arguments lie beside the weights
                last = torch.load(Path(name) / "run/last.pth.tar", weights_only=True, map_location="cpu")
        tables.write(self._predicted(last["state_dict"]), path, tables.PREDICTIONS)

    @cached_property
    def _model(self) -> ModelSettings:
        return params.load(f"members.{self.member}.model", ModelSettings, self.root)

    @cached_property
    def _pack(self) -> pixels.PixelPack:
        return pixels.open_pack(self.root / "data/prepare/train/pixels.arrow")

    def _write_images(self, folder: Path, images: LabelledImages) -> None:
        for number, (image_id, target) in enumerate(zip(images.image_ids, images.targets, strict=True)):
            path = folder / f"{target:05}/{number:06}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), cv2.cvtColor(self._pack[image_id], cv2.COLOR_RGB2BGR))

    def _settings(self, epochs: int) -> list[str]:
        model = self._model
        if model.mean is None or model.std is None:
            raise InputError("docs.measure.by_timm needs the member's mean and std in params.yaml")
        return [
            *("--model", model.backbone, "--num-classes", str(len(self.data.classes))),
            *("--pretrained", "--pretrained-path", str(self.root / f"models/weights/{self.member}.safetensors")),
            *("--model-kwargs", *(f"{key}={value}" for key, value in model.model_kwargs.items())),
            *("--img-size", str(model.image_size), "--mean", *map(str, model.mean), "--std", *map(str, model.std)),
            *("--epochs", str(epochs), "--val-interval", str(epochs), "--warmup-epochs", "2"),
            *("--opt", "adamw", "--weight-decay", "0.05", "--lr", "1e-4"),
            *("--batch-size", "32", "--workers", "0", "--device", "cpu", "--checkpoint-hist", "1"),
            *("--experiment", "run"),
            *(["--channels-last"] if model.channels_last else []),
            *bench.precision_words("bf16" if self.bf16 else "fp32"),
        ]

    def _predicted(self, state: Mapping[str, Any]) -> pd.DataFrame:
        model, classes = self._model, self.data.classes
        network = timm.create_model(model.backbone, num_classes=len(classes), **model.model_kwargs)
        network.load_state_dict(state)
        numerics = devices.Numerics(devices.start(params.load("torch", TorchSettings, self.root)))
        preprocessing = Preprocessing(model.mean, model.std, model.resize, model.crop_fraction)  # type: ignore[arg-type]
        image_ids = self.data.held_out.image_ids
        images = PlainImages(self._pack, image_ids, preprocessing, model.image_size)
        probs = predict.probabilities(network, images, transforms=["identity"], batch_size=8, numerics=numerics)
        where = {"subset": "train", "fold": self.fold, "image_size": model.image_size, "transform": "identity"}
        return predict.prediction_table(image_ids, probs["identity"], classes, **where)  # type: ignore[arg-type]


if __name__ == "__main__":
    cli.run(main)
