"""Calibration of the predicted probabilities: reliability by bins, and the expected calibration error.

The error concerns the likeliest class (top label) and uses bins of equal numbers of images. It is biased upwards: even
a perfectly calibrated model has an error above 0, and more so with fewer images in a bin. So it is reported beside the
error that a calibrated model with the same confidences would have.

Sources: Guo et al. 2017, arXiv 1706.04599 (the error); Roelofs et al. 2022, arXiv 2012.08668 (bins of equal numbers
have the smaller bias); Broecker & Smith 2007, Weather and Forecasting 22 (resampling as if calibrated).
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
        "bin": "int",  # in order of confidence
        "images": "int",
        "confidence": "float",  # mean probability of the likeliest class
        "accuracy": "float",  # share of images whose likeliest class is right
        "low": "float",  # 95% interval of the accuracy
        "high": "float",
    },
    key=("bin",),
)
MOST_BINS, IMAGES_A_BIN = 15, 20
DRAWS, CHUNK = 1000, 50  # simulated calibrated models; how many at a time


@dataclass(frozen=True)
class Calibration:
    """The calibration error, with what a calibrated model would show.

    Attributes:
        error: mean over bins of |accuracy - confidence|, weighted by their images.
        if_calibrated: mean error of a perfectly calibrated model with the same confidences.
        if_calibrated_high: 95% quantile of that model's errors.
        excess_confidence: mean confidence - accuracy.
    """

    error: float
    if_calibrated: float
    if_calibrated_high: float
    excess_confidence: float

    @property
    def verdict(self) -> str:
        """Describe the calibration in words."""
        if self.error <= self.if_calibrated_high:
            return "no evidence of miscalibration"
        return "overconfident" if self.excess_confidence > 0 else "underconfident"


def table(targets: Targets, probs: Probs, cluster: NDArray[np.int64]) -> pd.DataFrame:
    """Return RELIABILITY of probs (images, classes); the images of a cluster count as one in the intervals."""
    order, confidence, right = _sorted(targets, probs)
    rows = []
    for number, within in enumerate(_bins(len(targets))):
        accuracy = float(right[within].mean())
        low, high = proportions.wilson(accuracy, proportions.effective_count(cluster[order[within]]))
        rows.append((number, len(right[within]), float(confidence[within].mean()), accuracy, float(low), float(high)))
    return pd.DataFrame(rows, columns=list(RELIABILITY.columns)).round(6)


def calibration(targets: Targets, probs: Probs) -> Calibration:
    """Measure the calibration error of probs (images, classes), and that of a calibrated model."""
    _, confidence, right = _sorted(targets, probs)
    chunks = []
    for chunk in range(DRAWS // CHUNK):
        rng = np.random.default_rng(seeding.derive("calibration", chunk))
        chunks.append(_errors(confidence, rng.random((CHUNK, len(confidence))) < confidence))
    if_calibrated = np.concatenate(chunks)
    return Calibration(
        error=float(_errors(confidence, right[None])[0]),
        if_calibrated=float(if_calibrated.mean()),
        if_calibrated_high=float(np.quantile(if_calibrated, 0.95)),
        excess_confidence=float(confidence.mean() - right.mean()),
    )


def _sorted(targets: Targets, probs: Probs) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Sort images by confidence; return their positions, confidences and whether they are right: each (images,)."""
    confidence = probs.max(1).astype(np.float64) / probs.sum(1, dtype=np.float64)
    order = np.argsort(confidence, kind="stable")
    return order, confidence[order], (probs.argmax(1) == targets)[order]


def _errors(confidence: NDArray[np.float64], right: NDArray[Any]) -> NDArray[np.float64]:
    """Return the calibration error of each row of `right` (draws, images); the images are sorted by confidence."""
    starts = [within.start for within in _bins(len(confidence))]
    gaps = np.add.reduceat(right - confidence, starts, axis=1)
    errors: NDArray[np.float64] = np.abs(gaps).sum(1) / len(confidence)
    return errors


def _bins(n_images: int) -> list[slice]:
    """Divide the sorted images into bins of nearly equal numbers."""
    n_bins = max(1, min(MOST_BINS, n_images // IMAGES_A_BIN))
    edges = [n_images * k // n_bins for k in range(n_bins + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(edges)]
