"""How sure a share of images is, right at 0 and 1 too."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Z = 1.959964  # of 95%
Values = NDArray[np.float64]


def wilson(share: NDArray[Any] | float, n: NDArray[Any] | float, z: float = Z) -> tuple[Values, Values]:
    """Return the 95% interval of a share of `n` images; 0 to 1 where n is 0.

    Args:
        share: of images.
        n: images.
        z: quantile of the normal distribution, or of Student's t where the spread was estimated from few groups.

    Source: Wilson 1927, Journal of the American Statistical Association 22; recommended for small n by Brown, Cai &
    DasGupta 2001, Statistical Science 16.
    """
    share, n = np.asarray(share, np.float64), np.asarray(n, np.float64)
    known = np.maximum(n, 1)
    middle = (share + z**2 / (2 * known)) / (1 + z**2 / known)
    half = z / (1 + z**2 / known) * np.sqrt(share * (1 - share) / known + z**2 / (4 * known**2))
    low, high = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)


def effective_count(cluster: NDArray[np.int64]) -> float:
    """Return how many independent images these are worth, if those of a cluster stand and fall together.

    Careful: images of a cluster that differ are worth more.

    Args:
        cluster: (images,) numbers.

    Source: Kish 1965, Survey Sampling.
    """
    if len(cluster) == 0:
        return 0.0
    sizes = np.unique(cluster, return_counts=True)[1]
    return float(sizes.sum() ** 2 / (sizes**2).sum())
