"""Mean average precision at k (`map@5`) of images with one label: the mean of 1 / rank of the right class, 0 beyond k.

The rank is the class's place by falling probability; of equal probabilities the first class stands first.
"""

import numpy as np

from podium.scoring import first_labels
from podium.scoring.metric import Metric


def at(k: float) -> Metric:
    """Return MAP@k."""
    return first_labels.metric("map", k, np.reciprocal)


METRIC = at(5)
