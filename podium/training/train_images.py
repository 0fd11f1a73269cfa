"""Load augmented training images in batches; the result does not depend on the number of workers."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from podium.core import seeding
from podium.core.errors import InputError
from podium.core.pixels import PixelPack, Pixels
from podium.models.plain_images import loader, to_tensor
from podium.models.preprocessing import Preprocessing
from podium.training import augment

TEST = "/"  # before the id of a test image among train images: no id of an image begins with it


class TrainAndTest:
    """The pixels of train images by id, and of test images by `TEST` and id: both may have the same ids."""

    def __init__(self, train: PixelPack, test: PixelPack) -> None:
        self.train, self.test = train, test

    def __getitem__(self, image_id: str) -> Pixels:
        """Return the pixels of an image."""
        return self.test[image_id.removeprefix(TEST)] if image_id.startswith(TEST) else self.train[image_id]


class Draw(NamedTuple):
    """An image that an epoch draws.

    Attributes:
        epoch: from 0.
        image: its index.
        repeat: from 0; counts the draws of this image in the epoch, each with another augmentation.
    """

    epoch: int
    image: int
    repeat: int = 0


class TrainImages(Dataset[tuple[torch.Tensor, Any]]):
    """Augmented images by `Draw`: uint8 (channels, image_size, image_size); class index or soft target (n_classes,)."""

    def __init__(
        self,
        packed: PixelPack | TrainAndTest,
        image_ids: Sequence[str],
        targets: Sequence[int] | NDArray[np.float32],
        *,
        preprocessing: Preprocessing,
        image_size: int,
        augmentation: Sequence[dict[str, Any]],
        key: str,
        seed: int,
    ) -> None:
        self.packed, self.image_ids, self.targets = packed, list(image_ids), list(targets)
        self.preprocessing, self.image_size = preprocessing, image_size
        self.pipeline = augment.build(augmentation, image_size, key, len(preprocessing.mean))
        self.seed, self.key = seed, key

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.image_ids)

    @property
    def classes(self) -> list[int]:
        """Return the class index of each image: of a soft target, that of its likeliest class."""
        return [int(np.argmax(target)) if np.ndim(target) else int(target) for target in self.targets]

    def __getitem__(self, draw: Draw) -> tuple[torch.Tensor, Any]:
        """Return the image of a draw, augmented as in that epoch."""
        image_id = self.image_ids[draw.image]
        repeat = [draw.repeat] if draw.repeat else []  # what fills up a batch is another sample, not a copy
        seed = seeding.derive(self.seed, "augment", draw.epoch, image_id, *repeat)
        image = self.packed[image_id]
        try:
            image = augment.apply(self.pipeline, image, seed)
        except Exception as error:  # albumentations and OpenCV raise many classes of errors
            raise InputError(
                f"params.yaml: {self.key}: fails on {image_id}, {image.shape[:2]} pixels: {error}"
            ) from None
        return to_tensor(self.preprocessing.to_size(image, self.image_size)), self.targets[draw.image]


class EpochBatches(Sampler[list[Draw]]):
    """Batches for all epochs; each epoch has its own order.

    Every batch is full, as batch norm and mixup require, and every image is in each epoch: images from the beginning of
    the epoch's order fill its last batch, augmented anew. With `balanced`, an epoch has as many batches, and as many
    images of each class in them; an image of a class is drawn again only after all others of its class.

    Args:
        balanced: the images' class indices, to draw each class equally often; None to draw each image once.
        first_epoch: earlier epochs are left out; the others are the same as with them.
        shares: of the images (n_images,): an epoch draws this share of those with the same value, each epoch others.
    """

    def __init__(
        self,
        n_images: int,
        batch_size: int,
        epochs: int,
        seed: int,
        balanced: Sequence[int] | None = None,
        *,
        first_epoch: int = 0,
        shares: NDArray[np.float64] | None = None,
    ) -> None:
        self.n_images, self.batch_size, self.epochs, self.seed = n_images, batch_size, epochs, seed
        self.first_epoch = first_epoch
        every = np.arange(n_images)
        self.always = every if shares is None else every[shares == 1]
        self.parts = [
            (every[shares == share], max(1, round(share * int((shares == share).sum()))))
            for share in ([] if shares is None else np.unique(shares[shares < 1]))
        ]  # images, and how many of them an epoch draws
        n_drawn = len(self.always) + sum(n for _, n in self.parts)
        self.steps_per_epoch: int = -(-n_drawn // batch_size)
        targets = np.asarray([] if balanced is None else balanced)
        self.images_by_class = [np.flatnonzero(targets == k) for k in np.unique(targets)]

    def __len__(self) -> int:
        """Return the number of batches in all epochs from the first one on."""
        return (self.epochs - self.first_epoch) * self.steps_per_epoch

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield the batches of the first epoch, the next one, ..."""
        for epoch in range(self.first_epoch, self.epochs):
            rng = np.random.default_rng(seeding.derive(self.seed, "order", epoch))
            images = np.concatenate([self.always, *(rng.choice(part, n, replace=False) for part, n in self.parts)])
            draws = (self._balanced if self.images_by_class else self._shuffled)(epoch, rng, images)
            for start in range(0, len(draws), self.batch_size):
                yield draws[start : start + self.batch_size]

    def _shuffled(self, epoch: int, rng: np.random.Generator, images: NDArray[np.int64]) -> list[Draw]:
        order, places = rng.permutation(images), range(self.steps_per_epoch * self.batch_size)
        return [Draw(epoch, int(order[place % len(order)]), place // len(order)) for place in places]

    def _balanced(self, epoch: int, rng: np.random.Generator, drawn: NDArray[np.int64]) -> list[Draw]:
        by_class = [images[np.isin(images, drawn)] for images in self.images_by_class]
        by_class = [images for images in by_class if len(images)]
        n_draws, n_classes = self.steps_per_epoch * self.batch_size, len(by_class)
        each = n_draws // n_classes + (rng.permutation(n_classes) < n_draws % n_classes)
        draws: list[Draw] = []
        for images, n in zip(by_class, each, strict=True):
            rounds = [(repeat, rng.permutation(images)) for repeat in range(-(-n // len(images)))]
            draws += [Draw(epoch, int(image), repeat) for repeat, order in rounds for image in order][:n]
        return [draws[place] for place in rng.permutation(n_draws)]


def train_batches(images: TrainImages, batches: Sampler[list[Draw]], device: torch.device) -> DataLoader[Any]:
    """Return the batches of all epochs as one stream, so that workers never wait between epochs."""
    return loader(images, device, batch_sampler=batches)
