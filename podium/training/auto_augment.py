"""TrivialAugment and RandAugment of torchvision as albumentations ops, so that one list may hold both libraries' ops.

albumentations (2.0.8) has neither. torchvision draws from torch's global random stream; here each image has a seed of
its own, and the stream is as it was afterwards.
"""

from typing import Any

import albumentations as A
import numpy as np
import torch
from albumentations.core.transforms_interface import BaseTransformInitSchema
from PIL import Image as PilImage
from pydantic import Field
from torchvision.transforms import v2

from podium.core.colours import RGB
from podium.models.preprocessing import Image


class TrivialAugment(A.ImageOnlyTransform):  # type: ignore[misc]
    """One op of 14, at a random strength. Source: Müller and Hutter 2021, arXiv 2103.10158 (the space "wide").

    Args:
        p: probability of augmenting an image.
    """

    InitSchema = BaseTransformInitSchema  # albumentations checks the arguments with it

    def __init__(self, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.policy = v2.TrivialAugmentWide()

    def get_params(self) -> dict[str, Any]:
        """Draw the seed of one image."""
        return {"seed": self.py_random.getrandbits(32)}

    def apply(self, img: Image, seed: int, **_params: Any) -> Image:
        """Augment one image."""
        return _augmented(self.policy, img, seed)


class RandAugmentArguments(BaseTransformInitSchema):  # type: ignore[misc]
    """The arguments of `RandAugment`, as albumentations checks them."""

    n: int = Field(ge=1)
    m: int = Field(ge=0, le=30)


class RandAugment(A.ImageOnlyTransform):  # type: ignore[misc]
    """`n` random ops of 14, each at the strength `m`. Source: Cubuk et al. 2019, arXiv 1909.13719.

    Args:
        n: number of ops.
        m: from 0 to 30, as in the paper; timm's names (rand-m9) count from 0 to 10.
        p: probability of augmenting an image.
    """

    InitSchema = RandAugmentArguments

    def __init__(self, n: int = 2, m: int = 9, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.policy = v2.RandAugment(num_ops=n, magnitude=m, num_magnitude_bins=31)

    def get_params(self) -> dict[str, Any]:
        """Draw the seed of one image."""
        return {"seed": self.py_random.getrandbits(32)}

    def apply(self, img: Image, seed: int, **_params: Any) -> Image:
        """Augment one image."""
        return _augmented(self.policy, img, seed)


def _augmented(policy: v2.Transform, image: Image, seed: int) -> Image:
    if image.dtype != np.uint8 or image.shape[2] != RGB:
        raise ValueError(f"TrivialAugment and RandAugment need RGB bytes, not {image.dtype} {image.shape}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPU's stream too
        return np.asarray(policy(PilImage.fromarray(np.ascontiguousarray(image))))
