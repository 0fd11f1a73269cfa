"""Load augmented training images in batches; the result does not depend on the number of workers."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from podium.core import seeding
from podium.core.errors import InputError
from podium.core.pixels import PixelPack
from podium.models.plain_images import loader, to_tensor
from podium.models.preprocessing import Preprocessing
from podium.training import augment


class TrainImages(Dataset[tuple[torch.Tensor, int]]):
    """Augmented images by (epoch, index, repeat): uint8 (3, image_size, image_size) and the class index."""

    def __init__(
        self,
        packed: PixelPack,
        image_ids: Sequence[str],
        targets: Sequence[int],
        *,
        preprocessing: Preprocessing,
        image_size: int,
        augmentation: Sequence[dict[str, Any]],
        key: str,
        seed: int,
    ) -> None:
        self.packed, self.image_ids, self.targets = packed, list(image_ids), list(targets)
        self.preprocessing, self.image_size = preprocessing, image_size
        self.pipeline = augment.build(augmentation, image_size, key)
        self.seed, self.key = seed, key

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.image_ids)

    def __getitem__(self, position: tuple[int, int, int]) -> tuple[torch.Tensor, int]:
        """Return the image of (epoch, index, repeat), augmented as in that epoch and for that repeat of the image."""
        epoch, index, repeat = position
        image_id = self.image_ids[index]
        again = (repeat,) if repeat else ()  # an image that fills up a batch is another sample, not a copy of itself
        seed = seeding.derive(self.seed, "augment", epoch, image_id, *again)
        image = self.packed[image_id]
        try:
            image = augment.apply(self.pipeline, image, seed)
        except ValueError as error:
            raise InputError(
                f"params.yaml: {self.key}: fails on {image_id}, {image.shape[:2]} pixels: {error}"
            ) from None
        return to_tensor(self.preprocessing.to_size(image, self.image_size)), self.targets[index]


class EpochBatches(Sampler[list[tuple[int, int, int]]]):
    """Batches of (epoch, index, repeat) for all epochs; each epoch has its own order.

    Every batch is full, as batch norm and mixup require, and every image is in each epoch: images from the beginning of
    the epoch's order fill its last batch. `repeat` says how often the epoch had the image before, so that the image is
    augmented anew: with fewer images than a batch, one batch has the same image several times.
    """

    def __init__(self, n_images: int, batch_size: int, epochs: int, seed: int) -> None:
        self.n_images, self.batch_size, self.epochs, self.seed = n_images, batch_size, epochs, seed
        self.steps_per_epoch = -(-n_images // batch_size)

    def __len__(self) -> int:
        """Return the number of batches in all epochs."""
        return self.epochs * self.steps_per_epoch

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        """Yield the batches of epoch 0, 1, ..."""
        for epoch in range(self.epochs):
            order = np.random.default_rng(seeding.derive(self.seed, "order", epoch)).permutation(self.n_images)
            places = np.arange(self.steps_per_epoch * self.batch_size)
            for batch in places.reshape(-1, self.batch_size):
                yield [(epoch, int(order[place % self.n_images]), int(place // self.n_images)) for place in batch]


def train_batches(images: TrainImages, batches: EpochBatches, device: torch.device) -> DataLoader[Any]:
    """Return the batches of all epochs as one stream, so that workers never wait between epochs."""
    return loader(images, device, batch_sampler=batches)
