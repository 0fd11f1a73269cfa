"""Turn pixels into a model's input at a size; training, held-out predictions, `probe` and `infer` all use it.

Its settings are stored with a model's weights (`Preprocessing.to_dict`), so that later predictions use the same ones.
"""

import functools
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from podium.core import pixels

Image = NDArray[np.uint8]  # (height, width, channels), RGB if there are 3


@dataclass(frozen=True)
class Preprocessing:
    """How images become a backbone's input.

    Attributes:
        mean, std: per channel, for pixels in [0, 1].
        resize: "squash" both sides, "crop" the centre, or "pad" to a square with the mean colour.
        crop_fraction: with "crop", the fraction of the short side inside the crop, in (0, 1].
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str = "squash"
    crop_fraction: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data, to store with the weights."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from the values of `to_dict`, as JSON returns them."""
        mean, std = tuple(values["mean"]), tuple(values["std"])
        return cls(mean, std, values["resize"], values["crop_fraction"])

    def to_size(self, image: Image, image_size: int) -> Image:
        """Resize an image to (image_size, image_size, channels); an image of this size is returned unchanged."""
        if image.shape[:2] == (image_size, image_size):
            return image
        if self.resize == "squash":
            return _scaled(image, image_size, image_size)
        if self.resize == "crop":
            return _cropped(image, image_size, self.crop_fraction)
        return _padded(image, image_size, self.mean)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Convert uint8 images (batch, channels, height, width) to float32, normalised by mean and std."""
        mean, std = _mean_and_std(self.mean, self.std, images.device)
        return (images.float() - mean) / std


@functools.cache
@torch.inference_mode(mode=False)  # a tensor that is made in inference mode cannot take part in training
def _mean_and_std(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both for pixels in [0, 255], (1, channels, 1, 1), on the device: a copy would make it wait."""
    first, second = (torch.tensor(values, device=device).view(1, -1, 1, 1) * 255 for values in (mean, std))
    return first, second


def _scaled(image: Image, height: int, width: int) -> Image:
    """Shrink by area interpolation (no aliasing), enlarge by cubic interpolation."""
    return pixels.resized(image, height, width, shrinks=height * width < image.shape[0] * image.shape[1])


def _cropped(image: Image, image_size: int, crop_fraction: float) -> Image:
    """Crop before scaling: a narrow image scaled first would become very long."""
    height, width = image.shape[:2]
    side = max(1, round(min(height, width) * crop_fraction))
    top, left = (height - side) // 2, (width - side) // 2
    return _scaled(image[top : top + side, left : left + side], image_size, image_size)


def _padded(image: Image, image_size: int, mean: tuple[float, ...]) -> Image:
    height, width = image.shape[:2]
    factor = image_size / max(height, width)
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    canvas = np.empty((image_size, image_size, image.shape[2]), np.uint8)
    canvas[:] = np.round(np.array(mean) * 255).astype(np.uint8)
    top, left = (image_size - height) // 2, (image_size - width) // 2
    canvas[top : top + height, left : left + width] = _scaled(image, height, width)
    return canvas
