"""The probe of one member: frozen features at every image size, a linear classifier per fold, its predictions.

The classifiers at the training size are also the first weights of the member's trainings (probe_heads).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from podium.core import pixels, row_groups, scratch, seeding, tables
from podium.core import targets as label_targets
from podium.models import backbones, devices, plain_images, predict, probe_heads
from podium.models.preprocessing import Preprocessing
from podium.models.probe_heads import ProbeHeads
from podium.models.settings import ModelSettings, TorchSettings
from podium.probes import classifier_file, features_file, linear_probe
from podium.probes.classifier_file import Classifiers
from podium.probes.held_out_scores import HeldOutScore
from podium.probes.linear_probe import Fitted, ProbePredictions

BATCH = 64  # fits where training fits, because no gradients are stored
HEAD_TRANSFORMS = ("identity", "hflip")  # what heads learn from; not those of `infer`, whose change retrains nothing


@dataclass(frozen=True)
class ProbeImages:
    """The images that a probe learns from and predicts.

    Attributes:
        image_ids: of train images with a fold.
        targets: podium.core.targets.of_labels; UNKNOWN for an image that is predicted but never trained on.
        folds: (n_images,) each image's fold.
        test_ids: of the readable test images.
    """

    image_ids: list[str]
    targets: NDArray[Any]
    folds: NDArray[np.str_]
    test_ids: list[str]
    classes: list[str]
    fold_names: list[str]


def read_images(root: Path, fold_names: Sequence[str]) -> ProbeImages:
    """Read folds.csv and the ids of the readable test images."""
    rows = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    rows = rows[rows["fold"] != ""]
    classes = label_targets.class_names(rows.loc[rows["use"] == "train", "label"])
    targets = label_targets.of_labels(rows["label"].where(rows["use"] == "train"), classes)
    test_ids = pixels.open_pack(root / "data/prepare/test/pixels.arrow").image_ids
    folds = rows["fold"].to_numpy(str)
    return ProbeImages(list(rows["image_id"]), targets, folds, list(test_ids), classes, list(fold_names))


class ProbedSize(NamedTuple):
    """What a probe gave at an image size.

    Attributes:
        strengths: each fold's chosen C (shrinkage in a large contest); None where the other folds have one class.
        score: out of fold.
    """

    strengths: dict[str, float | None]
    score: HeldOutScore

    @property
    def strengths_in_words(self) -> str:
        """Name each fold's."""
        by_fold = ", ".join(f"{value} for fold {fold}" for fold, value in self.strengths.items())
        return f"C (in a large contest the shrinkage) is {by_fold}"


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

    def run(self, image_sizes: Sequence[int]) -> dict[int, ProbedSize]:
        """Write predictions and classifiers of all sizes, the features for the joint probe, the heads for trainings.

        The features are the mean over all sizes (docs/log.md, 2026-11-29). At the training size, or the first one where
        the training size is not predicted, the regressions' C is chosen, for all sizes, because choosing takes most of
        the time. The heads are those of the training size, for all values of `image_sizes` and `transforms` the same.

        Returns:
            what each image size gave, the training size first.
        """
        with row_groups.writing(self.root / f"data/probe/{self.member}.parquet") as append:
            found, by_size, heads = self._fit(image_sizes, append)
        path = self.root / classifier_file.of_member(self.member)
        classifier_file.write(path, classifiers(self.images, by_size))
        path = self.root / f"models/probe/{self.member}.safetensors"
        probe_heads.write(path, heads or self._heads(None, {}))
        return found

    def _fit(
        self, image_sizes: Sequence[int], append: Callable[[pd.DataFrame], None]
    ) -> tuple[dict[int, ProbedSize], dict[int, Mapping[str, Fitted]], ProbeHeads | None]:
        """Write the features and, by `append`, the predictions; return results and classifiers by size, and heads."""
        images = self.images
        found: dict[int, ProbedSize] = {}
        by_size: dict[int, Mapping[str, Fitted]] = {}
        heads: ProbeHeads | None = None
        total: dict[str, features_file.Features] = {}
        first, *_ = sizes = features_file.size_order(image_sizes, self.model.image_size)
        for size in sizes:
            features = self._features(size)
            total = {subset: total[subset] + values if total else values for subset, values in features.items()}
            probed = linear_probe.predict_folds(
                features["train"],
                images.targets,
                images.folds,
                features["test"],
                n_classes=len(images.classes),
                seeds=self._seeds,
                strengths=found[first].strengths if found else None,
            )
            found[size] = ProbedSize(probed.strengths, HeldOutScore.of(probed.train, images.targets))
            by_size[size] = probed.fitted
            if size == self.model.image_size:
                heads = self._heads(features["train"], probed.fitted)
            for table in prediction_tables(images, probed, size, self.transforms):
                append(table)
        self._write_features({subset: features_file.divided(values, len(sizes)) for subset, values in total.items()})
        return found, by_size, heads

    def _write_features(self, features: Mapping[str, features_file.Features]) -> None:
        ids = {"train": self.images.image_ids, "test": self.images.test_ids}
        path = self.root / f"data/probe/{self.member}.safetensors"
        features_file.write(path, {subset: (ids[subset], features[subset]) for subset in ids})

    @property
    def _seeds(self) -> dict[str, int]:
        return {fold: seeding.derive(self.model.seed, self.member, fold, "probe") for fold in self.images.fold_names}

    def _heads(self, known: features_file.Features | None, fitted: Mapping[str, Fitted]) -> ProbeHeads:
        """Return each fold's head at the training size, or why it has none.

        Args:
            known: the train images' features at the training size in `transforms`; None if that size is not predicted.
            fitted: the classifiers that were fitted on them.
        """
        images, classifier = self.images, backbones.find_linear_head(self._backbone[0])
        if self.model.weights == "none":
            return self._no_heads("the backbone is random (`weights: none`)")
        if classifier is None:
            return self._no_heads("the backbone's classifier is not one linear layer with a bias")
        if known is None or tuple(self.transforms) != HEAD_TRANSFORMS:
            known = self._head_inputs(known)
            fitted = linear_probe.fit_folds(
                known, images.targets, images.folds, n_classes=len(images.classes), seeds=self._seeds
            )
        if known.shape[2] != classifier.in_features:
            return self._no_heads(
                f"the backbone's features are {known.shape[2]}, and its classifier takes {classifier.in_features}"
            )
        heads = {fold: (weights.astype("f4"), biases.astype("f4")) for fold, (weights, biases, _) in fitted.items()}
        why = "all training images outside it are of one class"
        return ProbeHeads(images.classes, heads, {fold: why for fold in images.fold_names if fold not in heads})

    def _no_heads(self, why: str) -> ProbeHeads:
        return ProbeHeads(self.images.classes, {}, dict.fromkeys(self.images.fold_names, why))

    def _head_inputs(self, known: features_file.Features | None) -> features_file.Features:
        """Return the train images' features at the training size in HEAD_TRANSFORMS; `known` has `transforms`."""
        found = {} if known is None else {name: known[:, place] for place, name in enumerate(self.transforms)}
        if unknown := [name for name in HEAD_TRANSFORMS if name not in found]:
            computed = devices.reproducibly(
                f"probe@{self.member}", lambda: self._of_subset("train", self.model.image_size, unknown)
            )
            found |= {name: computed[:, place] for place, name in enumerate(unknown)}
        return np.stack([found[name] for name in HEAD_TRANSFORMS], axis=1)

    @cached_property
    def _backbone(self) -> tuple[nn.Module, Preprocessing, devices.Numerics]:
        """Return the placed backbone with its initial weights, built once for all sizes."""
        p = self.model
        numerics = devices.Numerics(devices.start(self.torch), p.precision, p.channels_last)
        model, preprocessing = frozen_backbone(self.root, self.member, p, len(self.images.classes))
        return numerics.place(model), preprocessing, numerics

    def _features(self, image_size: int) -> dict[str, features_file.Features]:
        """Return the features of the train and test images."""

        def both() -> dict[str, features_file.Features]:
            train = self._of_subset("train", image_size, self.transforms)
            test = self._of_subset("test", image_size, self.transforms)
            return {"train": train, "test": test.reshape(len(self.images.test_ids), *train.shape[1:])}

        return devices.reproducibly(f"probe@{self.member}", both)

    def _of_subset(self, subset: str, image_size: int, transforms: Sequence[str]) -> features_file.Features:
        model, preprocessing, numerics = self._backbone
        pack = pixels.open_pack(self.root / f"data/prepare/{subset}/pixels.arrow")
        image_ids = self.images.image_ids if subset == "train" else self.images.test_ids
        return predict.features(
            model,
            plain_images.PlainImages(pack, image_ids, preprocessing, image_size),
            batch_size=BATCH,
            numerics=numerics,
            transforms=transforms,
            label=f"probe@{self.member} {subset} at {image_size}",
        )


def frozen_backbone(root: Path, member: str, p: ModelSettings, n_classes: int) -> tuple[nn.Module, Preprocessing]:
    """Build a member's backbone with its initial weights, and its preprocessing."""
    checkpoint = backbones.read(root / f"models/weights/{member}.safetensors")
    values = checkpoint.meta["preprocessing"]
    preprocessing = Preprocessing(tuple(values["mean"]), tuple(values["std"]), p.resize, p.crop_fraction)
    model = backbones.create(p.backbone, n_classes=n_classes, model_kwargs=p.model_kwargs)
    backbones.load(model, checkpoint.state, f"weights of {member}")
    return model, preprocessing


def classifiers(images: ProbeImages, by_size: Mapping[int, Mapping[str, Fitted]]) -> Classifiers:
    """Return what `predict_folds` fitted, by image size and fold, as it is written for new images."""
    single = {
        fold: linear_probe.single_class(images.targets, images.folds, fold)
        for fold in images.fold_names
        if any(fold not in fitted for fitted in by_size.values())
    }
    fitted = {(size, fold): one[:2] for size, folds in by_size.items() for fold, one in folds.items()}
    return Classifiers(images.classes, fitted, single)


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
            scratch.release(probed.test[fold])
