"""Measure how well the novelty of `make predict` finds images unlike the training images, on a finished run's features.

    python -m docs.measure.measure_novelty ROOT [--members NAME ...] [--drawings FOLDER]

Held-out classes: one class after the other is left out of the references, and its images should be called unlike.
Each image is compared with the other folds' images, so the other classes' images give the rate of false alarms.
Drawings: the images of a folder (e.g. the demo's), predicted by the member's frozen backbone, against all photos.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from docs.measure import one_class
from podium.core import cli, params, tables
from podium.images.settings import PrepareSettings
from podium.inference.settings import MemberSettings
from podium.models import devices, plain_images, predict
from podium.models.settings import TorchSettings
from podium.probes import features_file, member_probe, novelty
from podium.probes.novelty import Features
from podium.serving import image_stream

MOST = 200  # drawings that are tried


def main(*words: str) -> None:
    """Print a row per member and question."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.measure_novelty", description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--members", nargs="+", help="default: all")
    parser.add_argument("--drawings", type=Path, help="a folder of images that are nothing like the contest's")
    asked = parser.parse_args(words)
    one_class.require(asked.root)
    folds = tables.read(asked.root / "data/split/folds.csv", tables.FOLDS)
    used = folds[folds["use"] == "train"].sort_values("image_id", ignore_index=True)
    members = asked.members or sorted(path.stem for path in (asked.root / "data/probe").glob("*.safetensors"))
    for member in members:
        settings = params.load(f"members.{member}", MemberSettings, asked.root)
        path = asked.root / f"data/probe/{member}.safetensors"
        train = features_file.read(path, "train", list(used["image_id"]))[:, 0]
        own = np.array(sorted(tables.read(asked.root / f"data/probe/{member}.parquet", tables.PREDICTIONS)["image_id"]))
        test_ids = sorted(set(own) - set(folds["image_id"]))
        test = features_file.read(path, "test", test_ids)[:, 0]
        alike, other = _held_out_classes(train, used)
        print(f"{member}: held-out classes: {_line(alike, other)}")
        fitted = novelty.fit(train, used["fold"].to_numpy(str))
        print(f"{member}: {len(test)} test images: false alarms {(fitted.ratios(test) > 1).mean():.2%}")
        if asked.drawings:
            drawn = fitted.ratios(_features(asked.root, member, settings, asked.drawings))
            print(f"{member}: drawings: {_line(fitted.ratios(test), drawn)}")


def _held_out_classes(train: Features, used: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the novelty of images of the other classes and of the class that is left out, over all classes."""
    labels, folds = used["label"].to_numpy(str), used["fold"].to_numpy(str)
    alike, other = [], []
    for label in np.unique(labels):
        for fold in np.unique(folds):
            known = (labels != label) & (folds != fold)
            fitted = novelty.fit(train[known], folds[known]) if len(np.unique(folds[known])) > 1 else None
            if fitted is None:
                continue
            alike.append(fitted.ratios(train[(labels != label) & (folds == fold)]))
            other.append(fitted.ratios(train[(labels == label) & (folds == fold)]))
    return np.concatenate(alike), np.concatenate(other)


def _features(root: Path, member: str, settings: MemberSettings, folder: Path) -> Features:
    """Return frozen features of a folder's images, at most MOST."""
    device = devices.start(params.load("torch", TorchSettings, root))
    numerics = devices.Numerics(device, settings.model.precision, settings.model.channels_last)
    model, preprocessing = member_probe.frozen_backbone(root, member, settings.model, 2)  # its head is not used
    size = settings.model.image_size
    prepare = params.load("prepare", PrepareSettings, root)
    chunks = image_stream.chunks(image_stream.find(folder)[:MOST], prepare, MOST)
    chunk = next(chunks)  # it lives as long as `chunks`
    images = plain_images.PlainImages(chunk.packed, chunk.packed.image_ids, preprocessing, size)
    transforms = settings.infer.transforms[:1]
    return predict.features(
        numerics.place(model), images, batch_size=member_probe.BATCH, numerics=numerics, transforms=transforms
    )[:, 0]


def _line(alike: np.ndarray, other: np.ndarray) -> str:
    auc = roc_auc_score([0] * len(alike) + [1] * len(other), np.concatenate([alike, other]))
    return f"found {(other > 1).mean():.1%} of {len(other)}, false alarms {(alike > 1).mean():.2%}, AUC {auc:.3f}"


if __name__ == "__main__":
    cli.run(main)
