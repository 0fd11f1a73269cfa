"""Losses of numbers: classes that are numbers are judged by the expected value of the probabilities.

Such a regression by classification needs no head of its own.

Source: Rothe, Timofte & Van Gool 2018, Deep expectation of real and apparent age from a single image, International
Journal of Computer Vision 126, 144-157.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.scoring.metric import Metric, Values


def root_mean_square(errors: Values, weights: NDArray[Any]) -> Values:
    """Return the root of the mean squared error for each weighting."""
    return np.asarray(np.sqrt(errors**2 @ weights / weights.sum(0, dtype=np.float64)), np.float64)


def mean_absolute(errors: Values, weights: NDArray[Any]) -> Values:
    """Return the mean absolute error for each weighting."""
    return np.asarray(np.abs(errors) @ weights / weights.sum(0, dtype=np.float64), np.float64)


RMSE, MAE = (
    Metric(
        name=name,
        greater_is_better=False,
        mean_over="none",
        lowest=-math.inf,  # any value: its interval is that of a normal variable
        chosen_by="itself",
        thresholds="likeliest",
        of_errors=function,
    )
    for name, function in (("rmse", root_mean_square), ("mae", mean_absolute))
)
