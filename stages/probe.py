"""Stage `probe@<member>`: models/weights/<member>.safetensors -> data/probe/<member>.parquet, a baseline to beat.

A logistic regression on the features of the backbone's initial weights predicts every train image out of fold (skipped
ones too), at the training size, without flips. A large contest uses a linear discriminant (linear_probe.MAX_WORK). With
`weights: none` the features are random, which is a baseline as well.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import cli, params, seeding, tables
from podium.models.settings import ModelSettings, TorchSettings

BATCH = 64  # fits where training fits, because no gradients are stored


def main(member: str, root: Path = Path()) -> None:
    """Compute one member's features once, then fit and predict every fold on them."""
    p = params.load(f"members.{member}.model", ModelSettings, root)
    rows = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    rows = rows[rows["fold"] != ""]
    classes = sorted(rows.loc[rows["use"] == "train", "label"].unique())
    targets = pd.Index(classes).get_indexer(rows["label"].where(rows["use"] == "train"))
    fold_names = [str(fold) for fold in params.section(params.read(root), "folds")]
    inputs = _features(member, p, list(rows["image_id"]), len(classes), root)
    from podium.models import predict
    from podium.probes import linear_probe

    probs, strengths = linear_probe.out_of_fold(
        inputs,
        targets.astype(np.int64),
        rows["fold"].to_numpy(str),
        n_classes=len(classes),
        seeds={fold: seeding.derive(p.seed, member, fold, "probe") for fold in fold_names},
    )
    table = predict.prediction_table(
        list(rows["image_id"]), probs, classes, subset="train", fold="", image_size=p.image_size, transform="identity"
    ).assign(fold=list(rows["fold"]))
    tables.write(table, root / f"data/probe/{member}.parquet", tables.PREDICTIONS)
    print(f"probe@{member}: linear classifiers with C (shrinkage in a large contest) by fold: {strengths}")


def _features(member: str, p: ModelSettings, image_ids: list[str], n_classes: int, root: Path) -> NDArray[np.float32]:
    """Return the features of images by the backbone's initial weights (n_images, 2 transforms, n_features)."""
    # torch takes seconds to import: not for a wrong setting
    from podium.core import pixels
    from podium.models import backbones, devices, plain_images, predict
    from podium.models.preprocessing import Preprocessing

    t = params.load("torch", TorchSettings, root)
    device = devices.start(t)
    numerics = devices.Numerics(device, p.precision, p.channels_last)
    checkpoint = backbones.read(root / f"models/weights/{member}.safetensors")
    values = checkpoint.meta["preprocessing"]
    preprocessing = Preprocessing(tuple(values["mean"]), tuple(values["std"]), p.resize, p.crop_fraction)
    packed = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    model = backbones.create(p.backbone, n_classes=n_classes, model_kwargs=p.model_kwargs)
    backbones.load(model, checkpoint.state, f"weights of {member}")
    name = f"probe@{member}"
    return devices.reproducibly(
        name,
        lambda: predict.features(
            numerics.place(model),
            plain_images.PlainImages(packed, image_ids, preprocessing, p.image_size),
            batch_size=BATCH,
            numerics=numerics,
            label=name,
        ),
    )


if __name__ == "__main__":
    cli.run(main)
