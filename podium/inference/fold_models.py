"""Predict with a member's fold models at each image size and TTA transform, as rows of tables.PREDICTIONS.

Each phase predicts its held-out fold at its training size in identity. Those predictions are read, not made again.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from podium.core import params, pixels, row_groups, tables, targets
from podium.core.errors import InputError
from podium.inference import stored_images
from podium.inference.settings import InferSettings
from podium.models import backbones, devices, predict
from podium.models.devices import Numerics
from podium.models.plain_images import PlainImages
from podium.models.preprocessing import Preprocessing
from podium.models.settings import ModelSettings, TorchSettings

IDENTITY = "identity"  # the TTA transform of the predictions that training makes
Probs = NDArray[np.float32]


def predict_member(
    member: str, phase: str, path: Path, *, root: Path, image_sizes: Sequence[int] | None, name: str
) -> None:
    """Predict with a member's models of one phase, with its settings in params.yaml.

    Args:
        member: its name in params.yaml.
        phase: of the weights, models/<phase>/<member>/<fold>.safetensors, and of the held-out predictions,
            data/<phase>/<member>/<fold>.parquet.
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
        root / f"data/{phase}/{member}",
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
    held_out: Path | None,
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
        held_out: folder of the folds' held-out predictions, made by the same models; a file may hold none. None where
            these models predicted nothing yet.
        root: of the project, with folds.csv and the packs.
        folds: names, in the order of the rows.
        name: of the stage, for progress bars.

    Raises:
        InputError: a model, or its held-out predictions, are of other classes.
    """
    table = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    classes = targets.class_names(table.loc[table["use"] == "train", "label"])
    train, test = (pixels.open_pack(root / f"data/prepare/{subset}/pixels.arrow") for subset in ("train", "test"))

    def rows(test_images: stored_images.ImagesAtSize) -> Iterator[pd.DataFrame]:
        for fold in folds:
            model, preprocessing = load_model(models / f"{fold}.safetensors", classes=classes)
            known = {} if held_out is None else read_held_out(held_out / f"{fold}.parquet", classes)
            image_ids = sorted(table.loc[table["fold"] == fold, "image_id"])
            train_at = {size: PlainImages(train, image_ids, preprocessing, size) for size in image_sizes}
            test_at = {size: test_images(preprocessing, size) for size in image_sizes}
            yield from tables_of_fold(
                numerics.place(model),
                [("train", train_at, known), ("test", test_at, {})],
                fold=fold,
                classes=classes,
                transforms=transforms,
                batch_size=batch_size,
                numerics=numerics,
                name=name,
            )

    def run() -> None:
        with stored_images.shared(test, test.image_ids, path.parent, name) as test_images:
            write(path, rows(test_images))

    batch = f"batches of {batch_size} images of {max(image_sizes)} x {max(image_sizes)} pixels"
    with devices.memory_explained(name, batch, "set batch_size of the member's section infer lower in params.yaml"):
        devices.reproducibly(name, run)


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


def read_held_out(path: Path, classes: Sequence[str]) -> dict[int, dict[str, Probs]]:
    """Read what a fold's training predicted in identity: image size -> image id -> probabilities (n_classes,).

    Raises:
        InputError: the predictions are of other classes.
    """
    table = tables.read(path, tables.PREDICTIONS)
    if tables.class_names(table) != list(classes):
        raise InputError(
            f"{path}: predicts classes {tables.class_names(table)}, but folds.csv has {list(classes)}; run `dvc repro`"
        )
    columns = [tables.PROBABILITY + name for name in classes]
    return {
        int(size): dict(zip(rows["image_id"], rows[columns].to_numpy(np.float32), strict=True))
        for size, rows in table[table["transform"] == IDENTITY].groupby("image_size")
    }


def tables_of_fold(
    model: torch.nn.Module,
    subsets: Sequence[tuple[str, Mapping[int, PlainImages], Mapping[int, Mapping[str, Probs]]]],
    *,
    fold: str,
    classes: Sequence[str],
    transforms: Sequence[str],
    batch_size: int,
    numerics: Numerics,
    name: str,
) -> Iterator[pd.DataFrame]:
    """Yield a table per subset, image size and transform.

    Args:
        model: of `fold`, on the device of `numerics`.
        subsets: ("train" or "test", image size -> its images, the known predictions as of `read_held_out`).
        classes: names in the order of the model's outputs.
        name: of the stage, for progress bars.
    """
    for subset, by_size, known in subsets:
        for image_size, images in by_size.items():
            if not images.image_ids:
                continue
            probs = predict_unknown(
                model,
                images,
                known.get(image_size, {}),
                transforms=transforms,
                batch_size=batch_size,
                numerics=numerics,
                label=f"{name} fold {fold}, {subset} at {image_size}",
                sets=targets.are_sets(classes),
            )
            for transform in transforms:
                yield predict.prediction_table(
                    images.image_ids,
                    probs[transform],
                    classes,
                    subset=subset,
                    fold=fold,
                    image_size=image_size,
                    transform=transform,
                )


def predict_unknown(
    model: torch.nn.Module,
    images: PlainImages,
    known: Mapping[str, Probs],
    *,
    transforms: Sequence[str],
    batch_size: int,
    numerics: Numerics,
    label: str,
    sets: bool = False,
) -> dict[str, Probs]:
    """Predict images at one size, but for those in identity that are known.

    Args:
        known: image id -> probabilities in identity (n_classes,); skipped images are not among them.
        sets: as of `predict.probabilities`.

    Returns:
        transform -> probabilities (n_images, n_classes).
    """

    def probabilities(images: PlainImages, transforms: Sequence[str]) -> dict[str, Probs]:
        return predict.probabilities(
            model, images, transforms=transforms, batch_size=batch_size, numerics=numerics, label=label, sets=sets
        )

    if IDENTITY not in transforms or not known:
        return probabilities(images, transforms)
    others = [transform for transform in transforms if transform != IDENTITY]
    probs = probabilities(images, others) if others else {}
    in_identity = dict(known)
    if unknown := [image_id for image_id in images.image_ids if image_id not in known]:
        unknown_images = PlainImages(images.packed, unknown, images.preprocessing, images.image_size)
        in_identity |= zip(unknown, probabilities(unknown_images, [IDENTITY])[IDENTITY], strict=True)
    return {**probs, IDENTITY: np.stack([in_identity[image_id] for image_id in images.image_ids])}


def write(path: Path, rows: Iterator[pd.DataFrame]) -> None:
    """Write tables one after another to one parquet file; only one is in memory at a time."""
    with row_groups.writing(path) as append:
        for table in rows:
            append(table)
