"""Compare two means over folds on real photos: `python -m docs.measure.measure_fold_means LABELS IMAGES WEIGHTS`.

`ensemble` averages what the folds' models predict of test images. Each split holds out 30% of the labelled images as a
test set, fits a logistic regression on frozen features without each of five folds of the others, and scales by one
temperature that is fitted out of fold. Prints what the arithmetic and the geometric mean of the five models score on
the held-out images (log loss in nats, accuracy in %, AUC x 100), beside a single fold's model, averaged over splits.
± is the standard error over splits, which overlap, so that it is too small.

LABELS is a CSV whose first two columns are file and class, WEIGHTS a .safetensors file of the backbone.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import nn

from podium.core import cli
from podium.images import decode
from podium.models import backbones
from podium.models.plain_images import to_tensor
from podium.models.preprocessing import Preprocessing
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets
from podium.scoring import scores

HELD_OUT, N_FOLDS, STRENGTH, SIDE = 0.3, 5, 0.03, 224  # STRENGTH: scikit-learn's C on standardised features
HALF = (0.5, 0.5, 0.5)  # mean and std of the backbone's input
METRICS = {"log loss": ("log_loss", 1), "accuracy": ("accuracy", 100), "AUC": ("roc_auc", 100)}
WAYS = ("one fold's model", "arithmetic", "geometric")
Features = NDArray[np.float64]


def main(*words: str) -> None:
    """Compute features, and print a table of both means."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.measure_fold_means")
    parser.add_argument("labels", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--backbone", default="mobilenetv1_100")
    parser.add_argument("--count", type=int, default=500, help="labelled photos that are used")
    parser.add_argument("--splits", type=int, default=20)
    asked = parser.parse_args(words)
    table = pd.read_csv(asked.labels, dtype=str).sample(frac=1, random_state=0)[: asked.count]
    targets = np.asarray(pd.factorize(table.iloc[:, 1], sort=True)[0], np.int64)
    features = features_of([asked.images / name for name in table.iloc[:, 0]], asked.backbone, asked.weights)
    found = np.array([split(features, targets, number) for number in range(asked.splits)])  # (splits, ways, metrics)
    error = np.std(found[:, 2] - found[:, 1], axis=0, ddof=1) / np.sqrt(asked.splits)
    gain = (found[:, 2] - found[:, 1]).mean(axis=0)
    print(f"{len(targets)} photos, {targets.max() + 1} classes, {asked.splits} splits")
    for index, (name, (_, scale)) in enumerate(METRICS.items()):
        cells = [f"{way} {scale * found[:, place, index].mean():.4f}" for place, way in enumerate(WAYS)]
        cells.append(f"geometric - arithmetic {scale * gain[index]:+.4f} ± {scale * error[index]:.4f}")
        print(f"{name}: {', '.join(cells)}")


def features_of(paths: list[Path], backbone: str, weights: Path) -> Features:
    """Return a frozen backbone's features (photos, features) at SIDE pixels."""
    padding = {"pad_type": "same"} if backbone.startswith("mobilenet") else {}
    model = backbones.create(backbone, n_classes=0, model_kwargs=padding).eval()
    backbones.load(model, backbones.read_file(weights)[0], str(weights))
    preprocessing, found = Preprocessing(HALF, HALF), []
    for path in paths:
        with path.open("rb") as file:
            pixels = decode.decode(file, name=path.name, short_side=320, max_megapixels=120).pixels
        if pixels is None:
            raise ValueError(f"{path}: no photo")
        found.append(_features(model, preprocessing.normalise(to_tensor(preprocessing.to_size(pixels, SIDE))[None])))
    features = np.concatenate(found)
    return np.asarray((features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6), np.float64)


@torch.inference_mode()
def _features(model: nn.Module, image: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(model(image).numpy(), np.float32)


def split(features: Features, targets: Targets, number: int) -> NDArray[np.float64]:
    """Hold out a test set, fit the folds' models, and return the scores of all ways on it: (ways, metrics)."""
    rest, out = train_test_split(np.arange(len(targets)), test_size=HELD_OUT, stratify=targets, random_state=number)
    n_classes = int(targets.max()) + 1
    oof, new = np.empty((len(rest), n_classes), np.float32), []
    for others, fold in StratifiedKFold(N_FOLDS, shuffle=True, random_state=number).split(rest, targets[rest]):
        known = features[rest[others]]
        axes = np.linalg.svd(known, full_matrices=False)[2]  # the regression's weights lie in the span of its rows
        model = LogisticRegression(C=STRENGTH, max_iter=500).fit(known @ axes.T, targets[rest[others]])
        oof[fold] = model.predict_proba(features[rest[fold]] @ axes.T)
        new.append(model.predict_proba(features[out] @ axes.T).astype(np.float32))
    temperature = calibration.fit_temperature(calibration.log_probs(oof), targets[rest])
    folds = [calibration.scaled(calibration.log_probs(probs), temperature) for probs in new]
    alone = np.mean([_scores(targets[out], probs) for probs in folds], axis=0)
    arithmetic = np.asarray(np.mean(folds, axis=0, dtype=np.float64), np.float32)
    logs = np.mean([calibration.log_probs(probs) for probs in folds], axis=0)
    geometric = calibration.scaled(logs.astype(np.float32), 1.0)
    return np.stack([alone, *(_scores(targets[out], mean) for mean in (arithmetic, geometric))])


def _scores(targets: Targets, probs: Probs) -> NDArray[np.float64]:
    return np.array([scores.SCORES[name].function(targets, probs) for name, _ in METRICS.values()])


if __name__ == "__main__":
    cli.run(main)
