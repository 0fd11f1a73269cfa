"""Predict with a member's fold models at each image size and TTA transform, as rows of tables.PREDICTIONS."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from podium.core import params, pixels, tables
from podium.core.errors import InputError
from podium.core.pixels import PixelPack
from podium.inference.settings import InferSettings
from podium.models import backbones, devices, predict
from podium.models.devices import Numerics
from podium.models.plain_images import PlainImages
from podium.models.preprocessing import Preprocessing
from podium.models.settings import ModelSettings, TorchSettings


def predict_member(
    member: str, phase: str, path: Path, *, root: Path, image_sizes: Sequence[int] | None, name: str
) -> None:
    """Predict with a member's models of one phase, with its settings in params.yaml.

    Args:
        member: its name in params.yaml.
        phase: of the weights, models/<phase>/<member>/<fold>.safetensors.
        path: of the parquet file to write.
        root: of the project.
        image_sizes: in pixels; None for those of the section `infer`.
        name: of the stage, for progress bars.

    Raises:
        InputError: a setting is wrong, or as in `predict_folds`.
    """
    model = params.load(f"members.{member}.model", ModelSettings, root)
    p = params.load(f"members.{member}.infer", InferSettings, root)
    t = params.load("torch", TorchSettings, root)
    device = devices.start(t)
    predict_folds(
        path,
        root / f"models/{phase}/{member}",
        root=root,
        folds=[str(fold) for fold in params.section(params.read(root), "folds")],
        image_sizes=p.image_sizes if image_sizes is None else image_sizes,
        transforms=p.transforms,
        batch_size=p.batch_size,
        numerics=devices.Numerics(device, model.precision, model.channels_last),
        name=name,
    )


def predict_folds(
    path: Path,
    models: Path,
    *,
    root: Path,
    folds: Sequence[str],
    image_sizes: Sequence[int],
    transforms: Sequence[str],
    batch_size: int,
    numerics: Numerics,
    name: str,
) -> None:
    """Predict with all fold models of one member: train images out of fold (skipped ones too), and all test images.

    Args:
        path: of the parquet file to write.
        models: folder of the folds' weights.
        root: of the project, with folds.csv and the packs.
        folds: names, in the order of the rows.
        name: of the stage, for progress bars.

    Raises:
        InputError: a model was trained on other classes.
    """
    table = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    classes = sorted(table.loc[table["use"] == "train", "label"].unique())
    train, test = (pixels.open_pack(root / f"data/prepare/{subset}/pixels.arrow") for subset in ("train", "test"))

    def rows() -> Iterator[pd.DataFrame]:
        for fold in folds:
            model, preprocessing = load_model(models / f"{fold}.safetensors", classes=classes)
            held_out = sorted(table.loc[table["fold"] == fold, "image_id"])
            yield from tables_of_fold(
                numerics.place(model),
                [("train", train, held_out), ("test", test, test.image_ids)],
                fold=fold,
                classes=classes,
                preprocessing=preprocessing,
                image_sizes=image_sizes,
                transforms=transforms,
                batch_size=batch_size,
                numerics=numerics,
                name=name,
            )

    devices.reproducibly(name, lambda: write(path, rows()))


def load_model(path: Path, *, classes: Sequence[str]) -> tuple[torch.nn.Module, Preprocessing]:
    """Build a fold's model and its preprocessing from its weights and their metadata.

    Raises:
        InputError: the model was trained on other classes.
    """
    checkpoint = backbones.read(path)
    meta = checkpoint.meta
    if meta["classes"] != list(classes):
        raise InputError(
            f"{path}: trained on classes {meta['classes']}, but folds.csv has {list(classes)}; run `dvc repro`"
        )
    model = backbones.create(meta["backbone"], n_classes=len(classes), model_kwargs=meta["model_kwargs"])
    backbones.load(model, checkpoint.state, str(path))
    return model, Preprocessing.from_dict(meta["preprocessing"])


def tables_of_fold(
    model: torch.nn.Module,
    subsets: Sequence[tuple[str, PixelPack, Sequence[str]]],
    *,
    fold: str,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    image_sizes: Sequence[int],
    transforms: Sequence[str],
    batch_size: int,
    numerics: Numerics,
    name: str,
) -> Iterator[pd.DataFrame]:
    """Yield a table per subset, image size and transform.

    Args:
        model: of `fold`, on the device of `numerics`.
        subsets: ("train" or "test", its pack, ids of the images to predict).
        classes: names in the order of the model's outputs.
        name: of the stage, for progress bars.
    """
    for subset, packed, image_ids in subsets:
        if not image_ids:
            continue
        for image_size in image_sizes:
            probs = predict.probabilities(
                model,
                PlainImages(packed, image_ids, preprocessing, image_size),
                transforms=transforms,
                batch_size=batch_size,
                numerics=numerics,
                label=f"{name} fold {fold}, {subset} at {image_size}",
            )
            for transform in transforms:
                yield predict.prediction_table(
                    image_ids,
                    probs[transform],
                    classes,
                    subset=subset,
                    fold=fold,
                    image_size=image_size,
                    transform=transform,
                )


def write(path: Path, rows: Iterator[pd.DataFrame]) -> None:
    """Write tables one after another to one parquet file; only one is in memory at a time."""
    writer: pq.ParquetWriter | None = None
    with tables.replacing(path) as temporary:
        try:
            for table in rows:
                arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
                writer = writer or pq.ParquetWriter(temporary, arrow.schema, compression="zstd")
                writer.write_table(arrow)
        finally:
            if writer is not None:
                writer.close()
