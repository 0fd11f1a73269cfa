"""The cross-entropy of each image, and when two predictions are the same but for rounding."""

import math

import numpy as np

from podium.core import row_blocks
from podium.scoring.metric import Probs, Targets, Values

_TINY = float(np.finfo(np.float64).eps)
WORST_LOSS = -math.log(_TINY)  # nats that an image can cost at most, 36


ROUNDING = 1e-5  # relative, of a probability, and nats: more than sums of 32-bit floats in another order move
_BLOCK = 2**18  # cells that are compared at once


def alike(first: Probs, second: Probs) -> bool:
    """Say whether two predictions (images, classes) are the same but for rounding."""
    blocks = row_blocks.of(first.shape, _BLOCK)
    return all(np.allclose(first[rows], second[rows], rtol=ROUNDING, atol=_TINY) for rows in blocks)


def log_losses(targets: Targets, probs: Probs) -> Values:
    """Return each image's cross-entropy in nats (images,); probabilities are renormalised and kept above 2e-16."""
    exact = probs[np.arange(len(targets)), targets].astype(np.float64) / probs.sum(1, dtype=np.float64)
    return np.asarray(-np.log(np.clip(exact, _TINY, 1 - _TINY)), np.float64)
