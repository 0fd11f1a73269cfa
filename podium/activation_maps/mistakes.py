"""Which images the blend gets wrong out of fold, the surest first."""

import numpy as np
from numpy.typing import NDArray

MOST = 24  # that the page shows


def surest(probs: NDArray[np.float32], targets: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the positions of the rows with a wrong prediction, the highest probability first.

    Args:
        probs: out of fold (rows, classes).
        targets: class indices (rows,).
    """
    predicted = probs.argmax(1)
    wrong = np.flatnonzero(predicted != targets)
    sure = probs[wrong, predicted[wrong]].round(6)
    return wrong[np.lexsort((wrong, -sure))]
