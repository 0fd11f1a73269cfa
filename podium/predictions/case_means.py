"""Means of predictions over the images of a case, as the submission has them, so that the estimate has them too.

Every image gets its case's mean. So a case counts as often as it has images, and its images are one group of one fold.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from podium import contracts
from podium.core import tables
from podium.predictions.calibration import Probs

CASE = "case"  # column of the folds, where the contest has cases


def with_cases(folds: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Return tables.FOLDS with a column of cases, "" for an image by itself; unchanged if the contest has none."""
    path = root / "data/label/cases.csv"
    cases = tables.read(path, contracts.CASES) if path.is_file() else pd.DataFrame()
    if cases.empty:
        return folds
    return folds.assign(**{CASE: folds["image_id"].map(cases.set_index("image_id")["case"]).fillna("")})


def averaged(probs: Probs, images: pd.DataFrame) -> Probs:
    """Return probabilities with each row replaced by its case's mean.

    Args:
        probs: (images x rows of an image, columns).
        images: rows of `with_cases`, in this order.
    """
    if CASE not in images:
        return probs
    return over(probs, list(("case " + images[CASE]).where(images[CASE] != "", "image " + images["image_id"])))


def over(probs: Probs, cases: Sequence[str]) -> Probs:
    """Return probabilities (images x rows of an image, columns), each row its case's mean.

    Args:
        probs: as they were predicted.
        cases: of the images; images of one text are one case.
    """
    if len(set(cases)) == len(cases):
        return probs
    of_image = np.unique(np.asarray(cases, str), return_inverse=True)[1]
    by_image = probs.reshape(len(cases), -1)
    total = np.zeros((int(of_image.max()) + 1, by_image.shape[1]))
    np.add.at(total, of_image, by_image)
    means = total / np.bincount(of_image)[:, None]
    return np.asarray(means[of_image].reshape(probs.shape), np.float32)
