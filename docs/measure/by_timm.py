"""Train a member's backbone with timm's own script: `python -m docs.measure.by_timm ROOT MEMBER --script train.py ...`.

ROOT is a project in which `dvc repro weights split` is done; --script is train.py of timm's source distribution. Each
fold is one run of the script with its defaults for images of another size and class list: AdamW, cosine, random crops,
colour jitter, label smoothing. The last epoch's weights predict the held-out fold. The predictions go to
FOLDER/timm/<seed>/<fold>.parquet, where docs/measure/ablation.py reads them (`--variants base timm`).
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import torch

from podium.core import params, pixels, tables
from podium.core.errors import InputError
from podium.models import devices, predict
from podium.models.plain_images import PlainImages
from podium.models.preprocessing import Preprocessing
from podium.models.settings import ModelSettings, TorchSettings
from podium.training.phase import FoldImages, LabelledImages, read_fold


def main() -> None:
    """Train and predict every fold for every seed."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.by_timm", description="Training by timm's script.")
    parser.add_argument("root", type=Path)
    parser.add_argument("member")
    parser.add_argument("--script", type=Path, required=True, help="train.py of timm")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    root = args.root.resolve()
    model = params.load(f"members.{args.member}.model", ModelSettings, root)
    threads = params.load("torch", TorchSettings, root)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    pack = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    for seed in args.seeds:
        for fold in (str(name) for name in params.section(params.read(root), "folds")):
            path, data = args.out.resolve() / f"timm/{seed}/{fold}.parquet", read_fold(folds, fold)
            if path.exists():
                continue
            with tempfile.TemporaryDirectory() as name:
                _write_images(Path(name) / "train", pack, data.train)
                _write_images(Path(name) / "validation", pack, data.held_out)
                state = _trained(args, root, Path(name), model, len(data.classes), seed)
            _predict(path, state, model, threads, data, pack, fold)
            print(f"{fold}: {path}", flush=True)


def _write_images(folder: Path, pack: pixels.PixelPack, images: LabelledImages) -> None:
    for number, (image_id, target) in enumerate(zip(images.image_ids, images.targets, strict=True)):
        path = folder / f"{target:05}/{number:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.cvtColor(pack[image_id], cv2.COLOR_RGB2BGR))


def _trained(
    args: argparse.Namespace, root: Path, data: Path, model: ModelSettings, n_classes: int, seed: int
) -> dict[str, Any]:
    """Return the weights of the script's last epoch."""
    if model.mean is None or model.std is None:
        raise InputError("docs.measure.by_timm needs the member's mean and std in params.yaml")
    words = [
        *(str(data), "--model", model.backbone, "--num-classes", str(n_classes), "--img-size", str(model.image_size)),
        *("--pretrained", "--pretrained-path", str(root / f"models/weights/{args.member}.safetensors")),
        *("--mean", *map(str, model.mean), "--std", *map(str, model.std), "--opt", "adamw", "--weight-decay", "0.05"),
        *("--lr", "1e-4", "--warmup-epochs", "2", "--epochs", str(args.epochs), "--batch-size", "32"),
        *("--workers", "0", "--device", "cpu", "--seed", str(seed), "--checkpoint-hist", "1"),
        *("--output", str(data), "--experiment", "run"),
    ]
    subprocess.run([sys.executable, str(args.script.resolve()), *words], check=True, stdout=subprocess.DEVNULL)
    with torch.serialization.safe_globals([argparse.Namespace]):  # the script stores its arguments beside the weights
        loaded = torch.load(data / "run/last.pth.tar", weights_only=True, map_location="cpu")
    return dict(loaded["state_dict"])


def _predict(
    path: Path,
    state: dict[str, Any],
    model: ModelSettings,
    threads: TorchSettings,
    data: FoldImages,
    pack: pixels.PixelPack,
    fold: str,
) -> None:
    network = timm.create_model(model.backbone, num_classes=len(data.classes), img_size=model.image_size)
    network.load_state_dict(state)
    numerics = devices.Numerics(devices.start(threads))
    preprocessing = Preprocessing(model.mean, model.std, model.resize, model.crop_fraction)  # type: ignore[arg-type]
    images = PlainImages(pack, data.held_out.image_ids, preprocessing, model.image_size)
    probs = predict.probabilities(network, images, transforms=["identity"], batch_size=8, numerics=numerics)
    table = predict.prediction_table(
        data.held_out.image_ids,
        np.asarray(probs["identity"]),
        data.classes,
        subset="train",
        fold=fold,
        image_size=model.image_size,
        transform="identity",
    )
    tables.write(table, path, tables.PREDICTIONS)


if __name__ == "__main__":
    main()
