"""Predict images of a pack: probabilities (held-out folds in training, `infer`) and features (`probe`)."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from podium.core import tables
from podium.core.progress import shown
from podium.models.devices import HostCopy, Numerics
from podium.models.plain_images import PlainImages

CROP = 7 / 8  # of the side: 224 of 256 pixels, as in Krizhevsky et al. 2012, who averaged these five and their flips


def _zoomed(images: torch.Tensor, down: float, across: float) -> torch.Tensor:
    """Crop images (batch, channels, side, side) and enlarge the crop to their side again, which the network takes.

    Args:
        images: normalised.
        down: where the crop lies, from 0 (top) to 1 (bottom).
        across: the same, from 0 (left) to 1 (right).
    """
    side = images.shape[2]
    inside = round(side * CROP)
    top, left = (int((side - inside) * share) for share in (down, across))
    window = images[:, :, top : top + inside, left : left + inside]
    return functional.interpolate(window, size=(side, side), mode="bicubic", align_corners=False)


TTA: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {  # settings.TtaTransform; of images (batch, 3, side, side)
    "identity": lambda images: images,
    "hflip": lambda images: images.flip(3),
    "vflip": lambda images: images.flip(2),
    "rot90": lambda images: images.rot90(1, (2, 3)),  # counter-clockwise
    "rot180": lambda images: images.flip((2, 3)),
    "rot270": lambda images: images.rot90(3, (2, 3)),
    "transpose": lambda images: images.transpose(2, 3),  # at the diagonal through the upper left corner
    "transverse": lambda images: images.flip((2, 3)).transpose(2, 3),  # at the other diagonal
    "crop_centre": lambda images: _zoomed(images, 0.5, 0.5),
    "crop_top_left": lambda images: _zoomed(images, 0, 0),
    "crop_top_right": lambda images: _zoomed(images, 0, 1),
    "crop_bottom_left": lambda images: _zoomed(images, 1, 0),
    "crop_bottom_right": lambda images: _zoomed(images, 1, 1),
}
# On a CPU larger batches do not fit into its caches: of MobileNet, 64 images at once take twice as long as 8 at a time
# (docs/log.md, 2026-11-28)
CPU_BATCH = 8


@torch.inference_mode()
def probabilities(
    model: nn.Module,
    images: PlainImages,
    *,
    transforms: Sequence[str],
    batch_size: int,
    numerics: Numerics,
    label: str = "",
    sets: bool = False,
) -> dict[str, NDArray[np.float32]]:
    """Predict images at one size in several TTA transforms.

    Args:
        model: on the device of `numerics`; this function sets evaluation mode.
        images: the result has their order.
        transforms: keys of `TTA`.
        batch_size: at most CPU_BATCH is used on a CPU.
        label: of the progress bar; "" for no bar.
        sets: whether an image has a set of the classes: each one's sigmoid instead of the softmax.

    Returns:
        transform -> probabilities (n_images, n_classes), rows summing to 1 but of sets.
    """
    rows = {transform: _OutputRows(len(images)) for transform in transforms}
    for batch in _batches(model, images, batch_size, numerics, label):
        for transform in transforms:
            with numerics.autocast():
                logits = model(numerics.layout(TTA[transform](batch)))
            rows[transform].add(torch.sigmoid(logits.float()) if sets else torch.softmax(logits.float(), dim=1))
    return {transform: written.values for transform, written in rows.items()}


@torch.inference_mode()
def features(
    model: nn.Module,
    images: PlainImages,
    *,
    batch_size: int,
    numerics: Numerics,
    transforms: Sequence[str] = ("identity", "hflip"),
    label: str = "",
) -> NDArray[np.float32]:
    """Return the input of a timm model's classifier (n_images, n_transforms, n_features).

    The arguments are those of `probabilities`.
    """
    rows = _OutputRows(len(images))
    for batch in _batches(model, images, batch_size, numerics, label):
        by_transform = []
        for transform in transforms:
            inputs = numerics.layout(TTA[transform](batch))
            with numerics.autocast():
                by_transform.append(model.forward_head(model.forward_features(inputs), pre_logits=True))  # type: ignore[operator]
        rows.add(torch.stack(by_transform, 1).float())
    return rows.values if len(images) else np.empty((0, len(transforms), 0), np.float32)


class _OutputRows:
    """Outputs of all images in one array.

    A small tensor kept after each batch would split the memory that `devices.start` makes the C library keep, and the
    process would grow with each batch. A batch is written when the next one is launched, so that a GPU does not wait.
    """

    def __init__(self, n_images: int) -> None:
        self._n_images, self._n_written = n_images, 0
        self._values: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._coming: HostCopy | None = None

    def add(self, outputs: torch.Tensor) -> None:
        """Take a batch's outputs (batch, ...) after the earlier ones."""
        coming = HostCopy(outputs)
        self._write()
        self._coming = coming

    @property
    def values(self) -> NDArray[np.float32]:
        """Return all outputs (n_images, ...); (0, 0) without images."""
        self._write()
        return self._values

    def _write(self) -> None:
        """Copy the batch that is coming behind the earlier ones."""
        if self._coming is None:
            return
        outputs, self._coming = self._coming.read().numpy(), None
        if not self._n_written:
            self._values = np.empty((self._n_images, *outputs.shape[1:]), np.float32)
        stop = self._n_written + len(outputs)
        self._values[self._n_written : stop] = outputs
        self._n_written = stop


def _batches(
    model: nn.Module, images: PlainImages, batch_size: int, numerics: Numerics, label: str
) -> Iterator[torch.Tensor]:
    model.eval()
    if numerics.device.type == "cpu":
        batch_size = min(batch_size, CPU_BATCH)
    batches, count = images.batches(batch_size, numerics.device), -(-len(images) // batch_size)
    for raw in tqdm(batches, desc=label, total=count, disable=not (label and shown()), leave=False):
        yield numerics.layout(images.preprocessing.normalise(numerics.moved(raw)))


def prediction_table(
    image_ids: Sequence[str],
    probs: NDArray[np.float32],
    classes: Sequence[str],
    *,
    subset: str,
    fold: str,
    image_size: int,
    transform: str,
) -> pd.DataFrame:
    """Return probabilities (n_images, n_classes) as rows of tables.PREDICTIONS."""
    table = pd.DataFrame(
        {"image_id": list(image_ids), "subset": subset, "fold": fold, "image_size": image_size, "transform": transform}
    )
    table["image_size"] = table["image_size"].astype("int64")
    return tables.with_probs(table, probs.reshape(len(image_ids), len(classes)), classes)
