"""Mixup and CutMix by timm; seed, epoch and step determine every random draw.

Sources: Zhang et al. 2018, arXiv 1710.09412 (mixup); Yun et al. 2019, arXiv 1905.04899 (CutMix).
"""

from collections.abc import Callable

import numpy as np
import torch
from timm.data.mixup import Mixup
from torch.nn import functional

from podium.core import seeding

Mix = Callable[[torch.Tensor, torch.Tensor, int, int], tuple[torch.Tensor, torch.Tensor]]


def build(*, mixup: float, cutmix: float, n_classes: int, seed: int) -> Mix:
    """Return mix(images, targets, epoch, step) -> (images, soft targets (batch, n_classes)).

    Args:
        mixup, cutmix: alpha of the Beta distribution of the mixing share; 0 for none.
        n_classes: number of columns of the soft targets.
        seed: with the epoch and the step, it fixes the share and the box of a batch.
    """
    if mixup == 0 and cutmix == 0:
        return lambda images, targets, _epoch, _step: (images, soft(targets, n_classes))
    mixer = Mixup(mixup_alpha=mixup, cutmix_alpha=cutmix, label_smoothing=0.0, num_classes=n_classes)

    def mix(images: torch.Tensor, targets: torch.Tensor, epoch: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        sets = targets.is_floating_point()
        state = np.random.get_state()  # timm draws from numpy's global stream
        np.random.seed(seeding.derive(seed, "mixup", epoch, step))
        try:
            mixed, soft_targets = mixer(images, _first_half(targets) if sets else targets)
        finally:
            np.random.set_state(state)
        return mixed, _mixed_sets(targets, soft_targets) if sets else soft_targets.float()

    return mix


def soft(targets: torch.Tensor, n_classes: int) -> torch.Tensor:
    """Convert class indices (batch,) to one-hot rows (batch, n_classes), float32; soft targets stay as they are."""
    return targets if targets.is_floating_point() else functional.one_hot(targets, n_classes).float()


def _first_half(targets: torch.Tensor) -> torch.Tensor:
    """Return 0 for images of a batch's first half, 1 for the others: timm mixes each with one of the other half.

    What it makes of these classes says how much of an image is its own.
    """
    places = torch.arange(len(targets), device=targets.device)
    return (places >= len(targets) // 2).long()


def _mixed_sets(targets: torch.Tensor, halves: torch.Tensor) -> torch.Tensor:
    """Mix targets of sets (batch, n_classes) by the shares of `_first_half`'s classes (batch, n_classes)."""
    own = halves.gather(1, _first_half(targets)[:, None]).float()
    return own * targets + (1 - own) * targets.flip(0)
