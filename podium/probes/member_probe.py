"""The probe of one member: frozen features at every image size, a linear classifier per fold, its predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from podium.core import pixels, seeding, tables
from podium.models import backbones, devices, plain_images, predict
from podium.models.preprocessing import Preprocessing
from podium.models.settings import ModelSettings, TorchSettings
from podium.probes import features_file, linear_probe
from podium.probes.linear_probe import ProbePredictions

BATCH = 64  # fits where training fits, because no gradients are stored


@dataclass(frozen=True)
class ProbeImages:
    """The images that a probe learns from and predicts.

    Attributes:
        image_ids: of train images with a fold.
        targets: class indices (n_images,); -1 for an image that is predicted but never trained on.
        folds: (n_images,) each image's fold.
        test_ids: of the readable test images.
    """

    image_ids: list[str]
    targets: NDArray[np.int64]
    folds: NDArray[np.str_]
    test_ids: list[str]
    classes: list[str]
    fold_names: list[str]


def read_images(root: Path, fold_names: Sequence[str]) -> ProbeImages:
    """Read folds.csv and the ids of the readable test images."""
    rows = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    rows = rows[rows["fold"] != ""]
    classes = sorted(rows.loc[rows["use"] == "train", "label"].unique())
    targets = pd.Index(classes).get_indexer(rows["label"].where(rows["use"] == "train"))
    test_ids = pixels.open_pack(root / "data/prepare/test/pixels.arrow").image_ids
    folds = rows["fold"].to_numpy(str)
    return ProbeImages(
        list(rows["image_id"]), targets.astype(np.int64), folds, list(test_ids), classes, list(fold_names)
    )


@dataclass(frozen=True)
class MemberProbe:
    """A member's backbone with its initial weights, and the images.

    Attributes:
        transforms: TTA transforms; a classifier learns from all of them.
    """

    member: str
    model: ModelSettings
    torch: TorchSettings
    transforms: Sequence[str]
    images: ProbeImages
    root: Path

    def run(self, image_sizes: Sequence[int]) -> dict[int, dict[str, float | None]]:
        """Write the predictions at all sizes, and the features for the joint probe.

        The features are those of the training size, or of the first size where the training size is not predicted.

        Returns:
            the chosen C by image size and fold.
        """
        images, found, strengths = self.images, [], {}
        seeds = {fold: seeding.derive(self.model.seed, self.member, fold, "probe") for fold in images.fold_names}
        for size in image_sizes:
            features = self._features(size)
            probed = linear_probe.predict_folds(
                features["train"],
                images.targets,
                images.folds,
                features["test"],
                n_classes=len(images.classes),
                seeds=seeds,
            )
            strengths[size] = probed.strengths
            found += list(prediction_tables(images, probed, size, self.transforms))
            if size == (self.model.image_size if self.model.image_size in image_sizes else image_sizes[0]):
                ids = {"train": images.image_ids, "test": images.test_ids}
                path = self.root / f"data/probe/{self.member}.safetensors"
                features_file.write(path, {subset: (ids[subset], features[subset]) for subset in ids})
        path = self.root / f"data/probe/{self.member}.parquet"
        tables.write(pd.concat(found, ignore_index=True), path, tables.PREDICTIONS)
        return strengths

    @cached_property
    def _backbone(self) -> tuple[nn.Module, Preprocessing, devices.Numerics]:
        """Return the placed backbone with its initial weights, built once for all sizes."""
        p = self.model
        numerics = devices.Numerics(devices.start(self.torch), p.precision, p.channels_last)
        checkpoint = backbones.read(self.root / f"models/weights/{self.member}.safetensors")
        values = checkpoint.meta["preprocessing"]
        preprocessing = Preprocessing(tuple(values["mean"]), tuple(values["std"]), p.resize, p.crop_fraction)
        model = backbones.create(p.backbone, n_classes=len(self.images.classes), model_kwargs=p.model_kwargs)
        backbones.load(model, checkpoint.state, f"weights of {self.member}")
        return numerics.place(model), preprocessing, numerics

    def _features(self, image_size: int) -> dict[str, features_file.Features]:
        """Return the features of the train and test images."""
        name = f"probe@{self.member}"
        model, preprocessing, numerics = self._backbone

        def of_subset(subset: str, image_ids: Sequence[str]) -> features_file.Features:
            pack = pixels.open_pack(self.root / f"data/prepare/{subset}/pixels.arrow")
            return predict.features(
                model,
                plain_images.PlainImages(pack, image_ids, preprocessing, image_size),
                batch_size=BATCH,
                numerics=numerics,
                transforms=self.transforms,
                label=f"{name} {subset} at {image_size}",
            )

        def both() -> dict[str, features_file.Features]:
            train = of_subset("train", self.images.image_ids)
            test = of_subset("test", self.images.test_ids)
            return {"train": train, "test": test.reshape(len(self.images.test_ids), *train.shape[1:])}

        return devices.reproducibly(name, both)


def prediction_tables(
    images: ProbeImages, probed: ProbePredictions, image_size: int, transforms: Sequence[str]
) -> Iterator[pd.DataFrame]:
    """Yield rows of tables.PREDICTIONS: train images out of fold, and every fold's predictions of the test images."""
    for place, transform in enumerate(transforms):
        yield predict.prediction_table(
            images.image_ids,
            probed.train[:, place],
            images.classes,
            subset="train",
            fold="",
            image_size=image_size,
            transform=transform,
        ).assign(fold=list(images.folds))
        for fold in images.fold_names if images.test_ids else ():
            yield predict.prediction_table(
                images.test_ids,
                probed.test[fold][:, place],
                images.classes,
                subset="test",
                fold=fold,
                image_size=image_size,
                transform=transform,
            )
