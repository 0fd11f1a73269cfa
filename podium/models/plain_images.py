"""Images of a pack in batches, from any number of worker processes with the same result.

`PODIUM_WORKERS` sets the worker processes (default: none beside a CPU's training, which they would slow
down; else as many as there are cores, at most 8). It is environment and never reaches a hashed file.
"""

import os
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from podium.core import workers
from podium.core.pixels import PixelPack
from podium.models.preprocessing import Preprocessing


class PlainImages(Dataset[torch.Tensor]):
    """Images by index as they are, at a size: uint8 (3, image_size, image_size)."""

    def __init__(
        self, packed: PixelPack, image_ids: Sequence[str], preprocessing: Preprocessing, image_size: int
    ) -> None:
        self.packed, self.image_ids = packed, list(image_ids)
        self.preprocessing, self.image_size = preprocessing, image_size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.image_ids)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return the image of `index`."""
        return to_tensor(self.preprocessing.to_size(self.packed[self.image_ids[index]], self.image_size))


def plain_batches(images: PlainImages, batch_size: int, device: torch.device) -> DataLoader[Any]:
    """Return the images once, in their order."""
    return loader(images, device, batch_size=batch_size)


def worker_count(device: torch.device) -> int:
    """Return how many worker processes load images beside `device`."""
    return workers.count(default=0 if device.type == "cpu" else min(8, os.cpu_count() or 1))


def loader(images: Dataset[Any], device: torch.device, **batching: Any) -> DataLoader[Any]:
    """Return a loader whose order and result do not depend on the number of its worker processes."""
    cv2.setNumThreads(0)
    return DataLoader(
        images,
        num_workers=worker_count(device),
        worker_init_fn=_start_worker,
        generator=torch.Generator().manual_seed(0),  # else the loader draws from the training's own stream
        pin_memory=device.type == "cuda",
        **batching,
    )


def _start_worker(_worker: int) -> None:
    cv2.setNumThreads(0)


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """Turn an image (height, width, 3) into a tensor (3, height, width) of the same bytes."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
