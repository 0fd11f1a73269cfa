"""Top-k accuracy (`top_accuracy@5`): the share of images whose right class is among the k most probable."""

import numpy as np

from podium.scoring import first_labels
from podium.scoring.metric import Metric


def at(k: float) -> Metric:
    """Return the top-k accuracy."""
    return first_labels.metric("top_accuracy", k, np.ones_like)


METRIC = at(1)
