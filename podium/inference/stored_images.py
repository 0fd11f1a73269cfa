"""Images that several models predict: resized in the first pass, read from a temporary file in the later ones.

A file of resized pixels, because they do not fit in memory in a large contest, and all fold models of a large backbone
do not fit on a GPU together.
"""

import functools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch

from podium.core.pixels import PixelPack
from podium.models.plain_images import PlainImages
from podium.models.preprocessing import Preprocessing

ImagesAtSize = Callable[[Preprocessing, int], PlainImages]  # of a preprocessing and an image size in pixels


@contextmanager
def shared(packed: PixelPack, image_ids: Sequence[str], folder: Path, name: str) -> Iterator[ImagesAtSize]:
    """Yield a function that returns the images at a size, the same object for each call with the same arguments.

    Where half of the free disk space cannot hold the pixels, every pass resizes the images again.

    Args:
        packed: pack of the images.
        image_ids: in the order of the predictions.
        folder: for the temporary files. They are deleted at the end of the block, also if the process is killed.
        name: of the stage, for the message about the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    room = shutil.disk_usage(folder).free / 2  # for all sizes: no file is written before the last one is asked for
    with ExitStack() as files:

        @functools.cache
        def at_size(preprocessing: Preprocessing, image_size: int) -> PlainImages:
            nonlocal room
            needed = len(image_ids) * len(preprocessing.mean) * image_size**2
            if needed > room:
                print(
                    f"{name}: {folder} has little free space for {needed / 1e9:.1f} GB of test images at"
                    f" {image_size} pixels, so every fold resizes them again"
                )
                return PlainImages(packed, image_ids, preprocessing, image_size)
            room -= needed
            file = files.enter_context(tempfile.TemporaryFile(dir=folder))
            return StoredImages(packed, image_ids, preprocessing, image_size, file)

        yield at_size


class StoredImages(PlainImages):
    """Images at one size that are resized once: the first complete pass writes a file, and later passes read it."""

    def __init__(
        self,
        packed: PixelPack,
        image_ids: Sequence[str],
        preprocessing: Preprocessing,
        image_size: int,
        file: IO[bytes],
    ) -> None:
        super().__init__(packed, image_ids, preprocessing, image_size)
        self._file, self._is_complete = file, False

    def batches(self, batch_size: int, device: torch.device) -> Iterable[torch.Tensor]:
        """Yield every image once, in order: uint8 (batch, channels, image_size, image_size), not yet on the device."""
        self._file.seek(0)
        if self._is_complete:
            yield from self._read(batch_size)
            return
        # loader processes get images without the open file, which cannot be sent to a process
        images = PlainImages(self.packed, self.image_ids, self.preprocessing, self.image_size)
        for batch in images.batches(batch_size, device):
            self._file.write(batch.numpy().tobytes())
            yield batch
        self._is_complete = True

    def _read(self, batch_size: int) -> Iterator[torch.Tensor]:
        shape = len(self.preprocessing.mean), self.image_size, self.image_size
        for start in range(0, len(self), batch_size):
            count = min(batch_size, len(self) - start)
            pixels = np.fromfile(self._file, np.uint8, count * int(np.prod(shape)))
            yield torch.from_numpy(pixels.reshape(count, *shape))
