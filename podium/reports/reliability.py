"""Whether a predicted probability means what it says: reliability by bins, and the calibration error.

The error is of the likeliest class (top label), in bins of equal numbers of images. It is biased upwards: a perfectly
calibrated model shows one above 0 too, the more the fewer images a bin has. So it is given beside what such a model
would show on the same confidences.

Sources: Guo et al. 2017, arXiv 1706.04599 (the error); Roelofs et al. 2022, arXiv 2012.08668 (equal-mass bins have
the smaller bias); Broecker & Smith 2007, Weather and Forecasting 22 (resampling as if calibrated).
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import seeding, tables
from podium.scoring import proportions
from podium.scoring.scores import Probs, Targets

RELIABILITY = tables.Contract(
    {
        "bin": "int",  # by rising confidence
        "images": "int",
        "confidence": "float",  # mean probability of the likeliest class
        "accuracy": "float",  # share of images where that is the right one
        "low": "float",  # of the accuracy's 95% interval
        "high": "float",
    },
    key=("bin",),
)
MOST_BINS, IMAGES_A_BIN = 15, 20
DRAWS, CHUNK = 1000, 50


@dataclass(frozen=True)
class Calibration:
    """The calibration error, and how to read it.

    Attributes:
        error: weighted mean over bins of |accuracy - confidence|.
        if_calibrated: the mean error of a perfectly calibrated model with the same confidences.
        if_calibrated_high: below which 95% of its errors are.
        excess_confidence: mean confidence - accuracy.
    """

    error: float
    if_calibrated: float
    if_calibrated_high: float
    excess_confidence: float

    @property
    def words(self) -> str:
        """Say in plain words what is known."""
        if self.error <= self.if_calibrated_high:
            return "no evidence of miscalibration"
        return "overconfident" if self.excess_confidence > 0 else "underconfident"


def table(targets: Targets, probs: Probs, cluster: NDArray[np.int64]) -> pd.DataFrame:
    """Return RELIABILITY of predictions (images, classes); a cluster's images count as one in the intervals."""
    order, confidence, right = _sorted(targets, probs)
    rows = []
    for number, place in enumerate(_bins(len(targets))):
        share = float(right[place].mean())
        low, high = proportions.wilson(share, proportions.effective_count(cluster[order[place]]))
        rows.append((number, len(right[place]), float(confidence[place].mean()), share, float(low), float(high)))
    return pd.DataFrame(rows, columns=list(RELIABILITY.columns)).round(6)


def calibration(targets: Targets, probs: Probs) -> Calibration:
    """Measure the calibration error of predictions (images, classes), and that of a calibrated model in their place."""
    _, confidence, right = _sorted(targets, probs)
    drawn = []
    for chunk in range(DRAWS // CHUNK):
        rng = np.random.default_rng(seeding.derive("calibration", chunk))
        drawn.append(_errors(confidence, rng.random((CHUNK, len(confidence))) < confidence))
    as_if = np.concatenate(drawn)
    return Calibration(
        error=float(_errors(confidence, right[None])[0]),
        if_calibrated=float(as_if.mean()),
        if_calibrated_high=float(np.quantile(as_if, 0.95)),
        excess_confidence=float(confidence.mean() - right.mean()),
    )


def _sorted(targets: Targets, probs: Probs) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the images by rising confidence, their confidence, and whether they are right: each (images,)."""
    confidence = probs.max(1).astype(np.float64) / probs.sum(1, dtype=np.float64)
    order = np.argsort(confidence, kind="stable")
    return order, confidence[order], (probs.argmax(1) == targets)[order]


def _errors(confidence: NDArray[np.float64], right: NDArray[Any]) -> NDArray[np.float64]:
    """Return the calibration error of each row of `right` (draws, images), images by rising confidence."""
    starts = [place.start for place in _bins(len(confidence))]
    gaps = np.add.reduceat(right - confidence, starts, axis=1)
    errors: NDArray[np.float64] = np.abs(gaps).sum(1) / len(confidence)
    return errors


def _bins(n_images: int) -> list[slice]:
    """Cut the sorted images into bins of nearly equal numbers."""
    n_bins = max(1, min(MOST_BINS, n_images // IMAGES_A_BIN))
    edges = [n_images * k // n_bins for k in range(n_bins + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(edges)]
