"""Load images of a pack in batches, without augmentation; the result does not depend on the number of workers.

The environment variable `PODIUM_WORKERS` sets the number of worker processes. The default is 0 on a CPU, where workers
would slow the model down, and otherwise the number of cores that the process may use, at most 8; the processes of one
training (`torch.devices`) divide the cores. It never reaches a hashed file.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from podium.core import interrupts, workers
from podium.core.pixels import PixelPack
from podium.models.preprocessing import Preprocessing


class PlainImages(Dataset[torch.Tensor]):
    """Unaugmented images by index, at one size: uint8 (channels, image_size, image_size)."""

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

    def batches(self, batch_size: int, device: torch.device) -> Iterable[torch.Tensor]:
        """Return every image once, in order: uint8 (batch, channels, image_size, image_size), not yet on the device."""
        return loader(self, device, batch_size=batch_size)


class RepeatedImages(PlainImages):
    """Images of several passes: the worker processes of the first pass wait for the next ones."""

    def __init__(
        self, packed: PixelPack, image_ids: Sequence[str], preprocessing: Preprocessing, image_size: int
    ) -> None:
        super().__init__(packed, image_ids, preprocessing, image_size)
        self._loaders: dict[tuple[int, torch.device], DataLoader[torch.Tensor]] = {}

    def batches(self, batch_size: int, device: torch.device) -> Iterable[torch.Tensor]:
        """Return every image once, in order, by the loader of the first pass."""
        key = batch_size, device
        if key not in self._loaders:
            # without the loader itself: it cannot be sent to a process, and would never be freed
            images = PlainImages(self.packed, self.image_ids, self.preprocessing, self.image_size)
            self._loaders[key] = loader(images, device, batch_size=batch_size, persistent=True)
        return self._loaders[key]


def worker_count(device: torch.device) -> int:
    """Return the number of worker processes that load images for `device`; a training's processes share the cores."""
    sharing = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    return workers.count(default=0 if device.type == "cpu" else max(1, min(8, workers.cores() // sharing)))


def loader(images: Dataset[Any], device: torch.device, *, persistent: bool = False, **batching: Any) -> DataLoader[Any]:
    """Return a loader whose order and result do not depend on the number of worker processes.

    Args:
        images: by what the loader's sampler draws.
        device: that gets the batches; for CUDA they are in pinned memory, so that copies do not wait.
        persistent: whether the worker processes wait for another pass over the loader.
        batching: batch_size or batch_sampler of torch's DataLoader.
    """
    cv2.setNumThreads(0)
    n_workers = worker_count(device)
    if n_workers:
        workers.make_socket_folder()
    return DataLoader(
        images,
        num_workers=n_workers,
        worker_init_fn=_start_worker,
        generator=torch.Generator().manual_seed(0),  # otherwise the loader draws from the training's random stream
        pin_memory=device.type == "cuda",
        persistent_workers=persistent and n_workers > 0,
        **batching,
    )


def _start_worker(_worker: int) -> None:
    interrupts.leave_to_parent()
    cv2.setNumThreads(0)


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """Convert an image (height, width, channels) to a tensor (channels, height, width), values unchanged."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
