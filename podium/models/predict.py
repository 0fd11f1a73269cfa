"""What a model says of images of a pack: probabilities (training's validation, `infer`), features (`probe`)."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from podium.core import tables
from podium.core.progress import shown
from podium.models import plain_images
from podium.models.devices import Numerics
from podium.models.plain_images import PlainImages


@torch.inference_mode()
def probabilities(
    model: nn.Module,
    images: PlainImages,
    *,
    transforms: Sequence[str],
    batch_size: int,
    numerics: Numerics,
    label: str = "",
) -> dict[str, NDArray[np.float32]]:
    """Predict images at one size in several transforms.

    Args:
        model: placed by `numerics`; put into evaluation mode here.
        images: the rows of the result keep their order.
        transforms: "identity" or "hflip".
        label: names the progress bar; "" shows none.

    Returns:
        transform -> probabilities (n_images, n_classes), rows summing to 1.
    """
    rows: dict[str, list[NDArray[np.float32]]] = {transform: [] for transform in transforms}
    for batch in _batches(model, images, batch_size, numerics, label):
        for transform in transforms:
            with numerics.autocast():
                logits = model(batch.flip(3) if transform == "hflip" else batch)
            rows[transform].append(torch.softmax(logits.float(), dim=1).cpu().numpy())
    return {
        transform: np.concatenate(subsets) if subsets else np.empty((0, 0), np.float32)
        for transform, subsets in rows.items()
    }


@torch.inference_mode()
def features(
    model: nn.Module, images: PlainImages, *, batch_size: int, numerics: Numerics, label: str = ""
) -> NDArray[np.float32]:
    """Return what a timm model's classifier would see, (n_images, 2 transforms, n_features): as is, and mirrored.

    Args: as of `probabilities`.
    """
    rows = []
    for batch in _batches(model, images, batch_size, numerics, label):
        transforms = []
        for transform in (batch, batch.flip(3)):
            with numerics.autocast():
                transforms.append(model.forward_head(model.forward_features(transform), pre_logits=True))  # type: ignore[operator]
        rows.append(torch.stack(transforms, 1).float().cpu().numpy())
    return np.concatenate(rows)


def _batches(
    model: nn.Module, images: PlainImages, batch_size: int, numerics: Numerics, label: str
) -> Iterator[torch.Tensor]:
    model.eval()
    batches = plain_images.plain_batches(images, batch_size, numerics.device)
    for raw in tqdm(batches, desc=label, disable=not (label and shown()), leave=False):
        yield numerics.layout(images.preprocessing.normalise(raw.to(numerics.device)))


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
    """Lay probabilities (n_images, n_classes) out as rows of tables.PREDICTIONS."""
    table = pd.DataFrame(
        {"image_id": list(image_ids), "subset": subset, "fold": fold, "image_size": image_size, "transform": transform}
    )
    table["image_size"] = table["image_size"].astype("int64")
    return tables.with_probs(table, probs.reshape(len(image_ids), len(classes)), classes)
