"""Test-time augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from podium.predictions import calibration
from podium.predictions.calibration import Probs

IDENTITY = "identity"
FINETUNE, FIXRES, ELSEWHERE = "finetune", "fixres", "elsewhere"  # whose weights look


@dataclass(frozen=True, order=True)
class Tta:
    """How a member looks at an image: the mean over these sizes (pixels) and transforms, with the weights of a phase."""

    image_sizes: tuple[int, ...]
    transforms: tuple[str, ...]
    phase: str = FINETUNE

    def __str__(self) -> str:
        phase = "" if self.phase == FINETUNE else f" {self.phase}"
        return f"{' '.join(map(str, self.image_sizes))} {'+'.join(self.transforms)}{phase}"


def default_tta(image_sizes: Sequence[int], transforms: Sequence[str], training_size: int) -> Tta:
    """Return the look a member is trained for: its size, or the first one where that is not inferred; all transforms."""
    size = training_size if training_size in image_sizes else image_sizes[0]
    return Tta((size,), tuple(sorted(transforms)))


def alternative_ttas(usual: Tta, image_sizes: Sequence[int], fixres_size: int | None = None) -> tuple[Tta, ...]:
    """Return what to hold against the usual look.

    The other sizes, the usual one in the identity transform alone, and the size of a third phase with its weights.
    """
    sizes = [Tta((size,), usual.transforms) for size in sorted(image_sizes) if size not in usual.image_sizes]
    alone = [Tta(usual.image_sizes, (IDENTITY,))] if IDENTITY in usual.transforms and len(usual.transforms) > 1 else []
    third = [] if fixres_size is None else [Tta((fixres_size,), usual.transforms, FIXRES)]
    return (*sizes, *alone, *third)


def singles(tta: Tta) -> list[Tta]:
    """Return the ttas of one size whose mean a TTA is."""
    return [Tta((size,), tta.transforms, tta.phase) for size in tta.image_sizes]


def seen(probs: Probs, shifts: Probs | None) -> Probs:
    """Average predictions as every look does: over transforms, then classes' priors are put back, then over sizes.

    Args:
        probs: (sizes, transforms, images, classes).
        shifts: of calibration.prior_shifts, broadcast to (images, classes); None where training weighed no classes.

    Returns:
        log probabilities (images, classes).
    """
    total = np.zeros(probs.shape[2:], np.float32)
    for of_size in probs:
        mean = of_size.mean(axis=0)
        total += mean if shifts is None else np.exp(calibration.shifted(calibration.log_probs(mean), shifts))
    return calibration.log_probs(total / np.float32(len(probs)))
