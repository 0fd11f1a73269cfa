"""Count how many planted wrong labels confident learning finds: `python -m docs.measure.planted_labels FOLDER`.

FOLDER is that of a finished run. Random train images get the label of another class. For each member a logistic
regression is then fitted to the flipped labels, on the features of the member's pretrained weights, in the run's folds.
Each of cleanlab's filters and scores judges the mean of the members' out-of-fold probabilities. Prints a Markdown table
and writes nothing. Takes one to two minutes on 2 cores for 770 images and three members.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from docs.measure import one_class
from podium.core import cli, params, pixels, seeding, tables
from podium.core import targets as label_targets
from podium.models import backbones, devices, plain_images, predict
from podium.models.preprocessing import Preprocessing
from podium.models.settings import ModelSettings, TorchSettings

RATES = (0.05, 0.10)
REPEATS = 5  # seeds
STRENGTH = 0.01  # sklearn's C, on standardised features
FILTERS = ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given")
RANKINGS = ("self_confidence", "normalized_margin")

Features = NDArray[np.float32]
Targets = NDArray[np.int64]
Probs = NDArray[np.float64]


@dataclass(frozen=True)
class RunImages:
    """A run's images with use "train": ids, class indices (images,), and folds (images,)."""

    image_ids: list[str]
    targets: Targets
    folds: NDArray[np.str_]


def main(folder: str) -> None:
    """Flip labels of a finished run's train images, and print how many of them each method finds."""
    root = Path(folder)
    one_class.require(root)
    table = tables.read(root / "data/split/folds.csv", tables.FOLDS).query("use == 'train'").sort_values("image_id")
    classes = label_targets.class_names(table["label"])
    targets = label_targets.of_labels(table["label"], classes)
    images = RunImages(list(table["image_id"]), targets, table["fold"].to_numpy(str))
    features = [_features(root, name, images) for name in sorted(params.section(params.read(root), "members"))]
    print(f"| planted of {len(targets)} | method | flagged | recall | precision |\n|---|---|---|---|---|")
    for rate in RATES:
        found = pd.concat([judged(features, images, rate, seed) for seed in range(REPEATS)])
        for method, row in found.groupby("method", sort=False).mean().iterrows():
            print(f"| {row.planted:.0f} | {method} | {row.flagged:.1f} | {row.recall:.2f} | {row.precision:.2f} |")


def flipped(targets: Targets, rate: float, seed: int) -> Targets:
    """Return class indices (images,); a share of `rate` is replaced by another class, each equally likely."""
    rng = np.random.default_rng(seeding.derive("planted", seed))
    chosen = rng.choice(len(targets), round(rate * len(targets)), replace=False)
    n_classes = int(targets.max()) + 1
    wrong = targets.copy()
    wrong[chosen] = (targets[chosen] + rng.integers(1, n_classes, len(chosen))) % n_classes
    return wrong


def _features(root: Path, member: str, images: RunImages) -> Features:
    """Return the features (images, features) of the member's frozen backbone."""
    p = params.load(f"members.{member}.model", ModelSettings, root)
    settings = params.load("torch", TorchSettings, root)
    device = devices.start(settings)
    numerics = devices.Numerics(device, p.precision, p.channels_last)
    checkpoint = backbones.read(root / f"models/weights/{member}.safetensors")
    model = backbones.create(p.backbone, n_classes=0, model_kwargs=p.model_kwargs)
    backbones.load(model, checkpoint.state, member)
    values = checkpoint.meta["preprocessing"]
    preprocessing = Preprocessing(tuple(values["mean"]), tuple(values["std"]), p.resize, p.crop_fraction)
    packed = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    plain = plain_images.PlainImages(packed, images.image_ids, preprocessing, p.image_size)
    transforms = devices.reproducibly(
        member, lambda: predict.features(numerics.place(model), plain, batch_size=32, numerics=numerics)
    )
    return np.asarray(transforms[:, 0], np.float32)


def judged(features: list[Features], images: RunImages, rate: float, seed: int) -> pd.DataFrame:
    """Plant wrong labels once; return columns method, planted, flagged, recall, precision."""
    wrong = flipped(images.targets, rate, seed)
    probs: Probs = np.mean([_out_of_fold(inputs, wrong, images.folds) for inputs in features], axis=0)
    planted = wrong != images.targets
    rows = []
    for method in FILTERS:
        flagged = find_label_issues(wrong, probs, filter_by=method, n_jobs=1)
        rows.append(_row(method, flagged, planted))
    for method in RANKINGS:
        worst = np.argsort(get_label_quality_scores(wrong, probs, method=method), kind="stable")[: planted.sum()]
        rows.append(_row(f"as many as planted, by {method}", np.isin(np.arange(len(wrong)), worst), planted))
    return pd.DataFrame(rows)


def _out_of_fold(inputs: Features, targets: Targets, folds: NDArray[np.str_]) -> Probs:
    """Predict each fold with a model fitted on the others: (images, classes)."""
    probs = np.zeros((len(targets), targets.max() + 1))
    for fold in np.unique(folds):
        here = folds == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
        model.fit(inputs[~here], targets[~here])
        probs[np.ix_(here, model.classes_)] = model.predict_proba(inputs[here])
    return probs


def _row(method: str, flagged: NDArray[np.bool_], planted: NDArray[np.bool_]) -> dict[str, object]:
    hits = (flagged & planted).sum()
    recall, precision = hits / planted.sum(), hits / max(flagged.sum(), 1)
    return {
        "method": method,
        "planted": planted.sum(),
        "flagged": flagged.sum(),
        "recall": recall,
        "precision": precision,
    }


if __name__ == "__main__":
    cli.run(main)
