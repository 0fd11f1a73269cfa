"""Where a network finds a class in an image: gradient x activation of its last grid of features, by Captum.

The features of each cell of the grid are multiplied with the gradient of the class's score, and summed. Of a linear
classifier on pooled features this is the class-activation map itself (Zhou et al. 2016, arXiv 1512.04150). Of others it
is HiResCAM (Draelos & Carin 2020, arXiv 2011.08891), which unlike Grad-CAM does not average the gradient over the cells
first. In a transformer with a class token the last block alone brings the cells into it, so its input is the grid.
"""

from collections.abc import Sequence
from math import isqrt

import numpy as np
import torch
from captum.attr import LayerGradientXActivation
from numpy.typing import NDArray
from torch import nn

BATCH = 4  # images whose gradients fit where training fits


class UnknownLayoutError(Exception):
    """A backbone's features are not a grid that is known here."""


class GridNetwork(nn.Module):
    """A timm model in two parts: what comes before the grid of features, and what comes after it.

    Attributes:
        backbone: of timm, in evaluation mode.
        head: a linear classifier in place of the backbone's own; None for its own.
    """

    def __init__(self, backbone: nn.Module, head: nn.Linear | None) -> None:
        super().__init__()
        self.backbone, self.head, self.grid = backbone, head, nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the classes' scores (images, classes), before any softmax."""
        features = self.grid(self.backbone.forward_features(images))  # type: ignore[operator]
        pooled: torch.Tensor = self.backbone.forward_head(features, pre_logits=self.head is not None)  # type: ignore[operator]
        return pooled if self.head is None else self.head(pooled)


def linear_head(weights: NDArray[np.float64], biases: NDArray[np.float64]) -> nn.Linear:
    """Return a linear classifier with weights (classes, features) and biases (classes,)."""
    head = nn.Linear(weights.shape[1], weights.shape[0])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights))
        head.bias.copy_(torch.from_numpy(biases))
    return head


def find(
    network: GridNetwork, images: torch.Tensor, classes: Sequence[int], signs: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each image's map (images, side, side), 0 to 1, and scores of all classes (images, classes).

    A map of zeros says that no cell raises the score.

    Args:
        network: in evaluation mode, on the device of `images`.
        images: normalised (images, channels, image size, image size).
        classes: the class of each image's map.
        signs: 1 for what raises the class's score, -1 for what lowers it.

    Raises:
        UnknownLayoutError: the backbone's features are not a grid that is known here.
    """
    maps, scores = [], []
    for at in range(0, len(images), BATCH):
        part = slice(at, at + BATCH)
        maps.append(_map(network, images[part], torch.tensor(classes[part], device=images.device), signs[part]))
        with torch.no_grad():
            scores.append(network(images[part]).float().cpu().numpy())
    return np.concatenate(maps), np.concatenate(scores)


def _map(
    network: GridNetwork, images: torch.Tensor, classes: torch.Tensor, signs: Sequence[int]
) -> NDArray[np.float32]:
    backbone = network.backbone
    blocks = getattr(backbone, "blocks", None) if hasattr(backbone, "num_prefix_tokens") else None
    layer = network.grid if blocks is None else blocks[-1]
    explained = LayerGradientXActivation(network, layer)
    try:
        found = explained.attribute(images, classes, attribute_to_layer_input=blocks is not None)
    except AssertionError as error:  # of a block that takes more than tensors
        raise UnknownLayoutError(f"Captum does not know its blocks ({error})") from None
    found = found[0] if isinstance(found, tuple) else found
    summed = _cells(found.detach(), backbone).float().cpu().numpy() * np.array(signs, np.float32)[:, None, None]
    positive = np.maximum(summed, 0)
    highest = positive.max(axis=(1, 2), keepdims=True)
    return np.asarray(positive / np.where(highest > 0, highest, 1), np.float32)


def _cells(values: torch.Tensor, backbone: nn.Module) -> torch.Tensor:
    """Sum over channels: (images, side, side)."""
    if values.ndim == 4:
        return values.sum(3 if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else 1)
    n_tokens = values.shape[1] if values.ndim == 3 else 0
    for prefix in (int(getattr(backbone, "num_prefix_tokens", 0)), 0):  # class tokens may join only after the blocks
        side = isqrt(max(n_tokens - prefix, 0))
        if side > 1 and side**2 == n_tokens - prefix:
            return values[:, prefix:].sum(2).reshape(-1, side, side)
    raise UnknownLayoutError(f"its features have the shape {tuple(values.shape[1:])}")
