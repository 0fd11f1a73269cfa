"""Test-time augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from podium.predictions import calibration
from podium.predictions.calibration import Probs

IDENTITY = "identity"
FINETUNE, FIXRES, ELSEWHERE = "finetune", "fixres", "elsewhere"  # whose weights look


@dataclass(frozen=True, order=True)
class Look:
    """How a member looks at an image: the mean over these sizes (pixels) and views, with the weights of a phase."""

    image_sizes: tuple[int, ...]
    views: tuple[str, ...]
    phase: str = FINETUNE

    def __str__(self) -> str:
        phase = "" if self.phase == FINETUNE else f" {self.phase}"
        return f"{' '.join(map(str, self.image_sizes))} {'+'.join(self.views)}{phase}"


def usual_look(image_sizes: Sequence[int], views: Sequence[str], training_size: int) -> Look:
    """Return the look a member is trained for: its size, or the first one where that is not inferred; all views."""
    size = training_size if training_size in image_sizes else image_sizes[0]
    return Look((size,), tuple(sorted(views)))


def other_looks(usual: Look, image_sizes: Sequence[int], fixres_size: int | None = None) -> tuple[Look, ...]:
    """Return what to hold against the usual look.

    The other sizes, the usual one in the identity view alone, and the size of a third phase with its weights.
    """
    sizes = [Look((size,), usual.views) for size in sorted(image_sizes) if size not in usual.image_sizes]
    alone = [Look(usual.image_sizes, (IDENTITY,))] if IDENTITY in usual.views and len(usual.views) > 1 else []
    third = [] if fixres_size is None else [Look((fixres_size,), usual.views, FIXRES)]
    return (*sizes, *alone, *third)


def singles(look: Look) -> list[Look]:
    """Return the looks of one size whose mean a look is."""
    return [Look((size,), look.views, look.phase) for size in look.image_sizes]


def seen(probs: Probs, shifts: Probs | None) -> Probs:
    """Average predictions as every look does: over views, then classes' priors are put back, then over sizes.

    Args:
        probs: (sizes, views, images, classes).
        shifts: of calibration.prior_shifts, broadcast to (images, classes); None where training weighed no classes.

    Returns:
        log probabilities (images, classes).
    """
    total = np.zeros(probs.shape[2:], np.float32)
    for of_size in probs:
        mean = of_size.mean(axis=0)
        total += mean if shifts is None else np.exp(calibration.shifted(calibration.log_probs(mean), shifts))
    return calibration.log_probs(total / np.float32(len(probs)))
