"""What the networks and probes of a recipe predict of a chunk of images, by the functions that `infer` and `probe` use.

The numbers are the same to the last bit as those of the stages where images come into the same batches. A network is
built once if all fit into memory, and else once per chunk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from podium.ensembling.recipe_schema import RecipeFile, RecipeMember
from podium.inference import fold_models
from podium.inference.stored_images import ImagesAtSize
from podium.models import devices, predict
from podium.models.devices import Numerics
from podium.models.preprocessing import Preprocessing
from podium.models.settings import TorchSettings
from podium.predictions import calibration, member_predictions
from podium.predictions.calibration import Probs
from podium.predictions.tta import PROBE
from podium.probes import classifier_file, features_file, joint_probe, linear_probe, member_probe
from podium.probes.classifier_file import Classifiers

KEPT_BYTES = 2 * 2**30  # of weights that stay in memory from chunk to chunk

Features = NDArray[np.float32]
Built = tuple[nn.Module, Preprocessing]


@dataclass
class NetworkBuilder:
    """Builds the networks and classifiers that a recipe names, and keeps them where they are small together."""

    recipe: RecipeFile
    root: Path
    torch: TorchSettings
    _kept: dict[str, Built] = field(default_factory=dict)
    _classifiers: dict[str, Classifiers] = field(default_factory=dict)

    @cached_property
    def numerics(self) -> dict[str, Numerics]:
        """Return each member's device, precision and memory layout."""
        device = devices.start(self.torch)
        networks = self.recipe.networks.items()
        return {name: Numerics(device, one.model.precision, one.model.channels_last) for name, one in networks}

    def trained(self, member: str, phase: str, fold: str) -> Built:
        """Return a fold's network after a phase of training."""
        path = f"models/{phase}/{member}/{fold}.safetensors"
        return self._built(path, member, lambda: fold_models.load_model(self.root / path, classes=self.recipe.classes))

    def frozen(self, member: str) -> Built:
        """Return a member's backbone with its initial weights."""
        model, n_classes = self.recipe.networks[member].model, len(self.recipe.classes)
        path = f"models/weights/{member}.safetensors"
        return self._built(path, member, lambda: member_probe.frozen_backbone(self.root, member, model, n_classes))

    def classifiers(self, path: str) -> Classifiers:
        """Return the linear classifiers of a probe; each file is read once."""
        if path not in self._classifiers:
            self._classifiers[path] = classifier_file.read(self.root / path, self.recipe.classes)
        return self._classifiers[path]

    def _built(self, path: str, member: str, build: Callable[[], Built]) -> Built:
        if path in self._kept:
            return self._kept[path]
        model, preprocessing = build()
        placed = self.numerics[member].place(model), preprocessing
        if self._are_small:
            self._kept[path] = placed
        return placed

    @cached_property
    def _are_small(self) -> bool:
        return sum((self.root / path).stat().st_size for path in self.recipe.files) <= KEPT_BYTES


@dataclass
class ChunkPredictions:
    """Predictions of one chunk's readable images.

    Attributes:
        images_at: the images at a size.
        n_images: their number.
    """

    builder: NetworkBuilder
    images_at: ImagesAtSize
    n_images: int
    _features: dict[tuple[str, int], Features] = field(default_factory=dict)

    def calibrated(self, member: RecipeMember, index: int) -> Probs:
        """Return a member's calibrated probabilities (images, classes) by the models of the index-th fold."""
        return calibrated(self.probabilities(member, index), member, self.builder.recipe.folds[index])

    def probabilities(self, member: RecipeMember, index: int) -> Probs:
        """Return a member's probabilities (images, classes) by the models of the index-th fold, not calibrated."""
        fold = self.builder.recipe.folds[index]
        return self._joint(fold) if member.source == "joint_probe" else self._of_member(member, fold)

    def features(self, member: str, size: int) -> Features:
        """Return frozen features (images, transforms, features) in all transforms of `infer`; computed once."""
        if (member, size) not in self._features:
            model, preprocessing = self.builder.frozen(member)
            self._features[member, size] = predict.features(
                model,
                self.images_at(preprocessing, size),
                batch_size=member_probe.BATCH,
                numerics=self.builder.numerics[member],
                transforms=self.builder.recipe.networks[member].transforms,
                label=f"{member} features at {size}",
            )
        return self._features[member, size]

    def mean_features(self, member: str) -> Features:
        """Return the mean of a member's features over its sizes (images, transforms, features)."""
        sizes = self.builder.recipe.networks[member].feature_sizes
        return features_file.mean_over_sizes(self.features(member, size) for size in sizes)

    def _of_member(self, member: RecipeMember, fold: str) -> Probs:
        """Return the mean over a member's TTA."""
        found = (rows for phase in member.phases for rows in self._of_phase(member, phase, fold))
        return member_predictions.averaged(found, range(len(member.transforms)))

    def _of_phase(self, member: RecipeMember, phase: str, fold: str) -> Iterator[Probs]:
        """Yield probabilities (1, transforms, images, classes) at each size."""
        if phase == PROBE:
            yield from self._of_probe(member, fold)
            return
        model, preprocessing = self.builder.trained(member.name, phase, fold)
        for size in member.image_sizes:
            by_transform = predict.probabilities(
                model,
                self.images_at(preprocessing, size),
                transforms=member.transforms,
                batch_size=self.builder.recipe.networks[member.name].batch_size,
                numerics=self.builder.numerics[member.name],
                label=f"{member.name} {phase} fold {fold} at {size}",
            )
            yield np.stack([by_transform[transform] for transform in member.transforms])[None]

    def _of_probe(self, member: RecipeMember, fold: str) -> Iterator[Probs]:
        known = self.builder.recipe.networks[member.name].transforms
        places = [known.index(transform) for transform in member.transforms]
        classifiers = self.builder.classifiers(classifier_file.of_member(member.name))
        for size in member.image_sizes:
            probs = by_classifier(classifiers, size, fold, self.features(member.name, size))
            yield probs[:, places].transpose(1, 0, 2)[None]

    def _joint(self, fold: str) -> Probs:
        networks = self.builder.recipe.networks
        inputs = joint_probe.side_by_side(self.mean_features(name) for name in sorted(networks))
        classifiers = self.builder.classifiers(classifier_file.JOINT)
        return by_classifier(classifiers, joint_probe.IMAGE_SIZE, fold, inputs)[:, 0]


def calibrated(probs: Probs, member: RecipeMember, fold: str) -> Probs:
    """Calibrate a member's probabilities (images, classes) by a fold's models."""
    prior = np.array(member.log_priors[fold], np.float32) if member.log_priors else None
    fitted = calibration.FittedCalibration(member.temperature, member.prior_strength)
    return fitted.apply(calibration.log_probs(probs), prior)


def by_classifier(classifiers: Classifiers, size: int, fold: str, features: Features) -> Probs:
    """Predict features (images, transforms, features) with a fold's classifier: (images, transforms, classes)."""
    if (size, fold) not in classifiers.fitted:
        only = np.eye(len(classifiers.classes), dtype=np.float32)[classifiers.single[fold]]
        return np.broadcast_to(only, (*features.shape[:2], len(only)))
    return linear_probe.probabilities(features, *classifiers.fitted[size, fold])


def batch_sizes(recipe: RecipeFile) -> Sequence[int]:
    """Return every number of images that a pass predicts together, at most."""
    return sorted({member_probe.BATCH, *(one.batch_size for one in recipe.networks.values())})
