"""Stage `infer@<member>`: models/finetune/<member>/*.safetensors -> data/infer/<member>.parquet.

Every fold's model predicts its own held-out train images (out of fold; skipped ones too) and all test
images, at each of the member's image sizes and views.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from stages.lib import cli, params, pixels, tables
from stages.lib.settings.compute import TorchSettings
from stages.lib.settings.members import InferSettings
from stages.lib.settings.training import ModelSettings


def main(member: str, root: Path = Path()) -> None:
    """Predict with all folds' models of one member."""
    from stages.lib import inference  # torch: after cli.run has set its environment

    inference.write(root / f"data/infer/{member}.parquet", _predictions(member, root))


def _predictions(member: str, root: Path) -> Iterator[pd.DataFrame]:
    from stages.lib import compute, inference

    model_settings = params.load(f"members.{member}.model", ModelSettings, root)
    p = params.load(f"members.{member}.infer", InferSettings, root)
    t = params.load("torch", TorchSettings, root)
    device = compute.start(device=t.device, threads=t.threads)
    numerics = compute.Numerics(device, model_settings.precision, model_settings.channels_last)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    classes = sorted(folds.loc[folds["use"] == "train", "label"].unique())
    train = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    test = pixels.open_pack(root / "data/prepare/test/pixels.arrow")
    for fold in (str(f) for f in params.section(params.read(root), "folds")):
        weights = root / f"models/finetune/{member}/{fold}.safetensors"
        model, preprocessing = inference.load_model(weights, classes=classes)
        held_out = sorted(folds.loc[folds["fold"] == fold, "image_id"])
        yield from inference.tables_of_fold(
            numerics.place(model),
            [("train", train, held_out), ("test", test, test.image_ids)],
            fold=fold,
            classes=classes,
            preprocessing=preprocessing,
            image_sizes=p.image_sizes,
            views=p.views,
            batch_size=p.batch_size,
            numerics=numerics,
            name=f"infer@{member}",
        )


if __name__ == "__main__":
    cli.run(main)
