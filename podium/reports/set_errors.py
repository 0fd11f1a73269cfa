"""Suspected wrong labels in sets of labels: confident learning asks of each label whether an image has it.

Every label of every image is a row of a contest of two classes (podium.core.targets.as_rows). An image is suspect where
a row of it is flagged. What is suggested is its set with all flagged labels turned round; the numbers in its row of the
table are those of its most suspect label.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import targets as label_targets
from podium.reports import label_errors
from podium.reports.label_errors import DIGITS, LabelIssues
from podium.reports.member_votes import Vote


def suspect_table(
    reviewed: pd.DataFrame,
    issues: LabelIssues,
    *,
    probs: NDArray[np.float64],
    votes: Mapping[str, Vote],
    classes: Sequence[str],
    others: Mapping[str, str],
) -> pd.DataFrame:
    """List the suspects as contracts.SUSPECTS; all are flagged.

    Args:
        reviewed: rows of tables.FOLDS.
        issues: of the rows (images x labels,).
        probs: (images x labels, 2), mean over the members.
        votes: by member, of the rows.
        classes: the labels, LabelNames.
        others: image_id -> its duplicates with another set.
    """
    truth = label_targets.of_labels(reviewed["label"], classes)
    flagged = issues.flagged.reshape(truth.shape) & (issues.suggested.reshape(truth.shape) != truth)
    quality = np.where(flagged, issues.quality.reshape(truth.shape), np.inf)
    images = np.flatnonzero(flagged.any(axis=1))
    images = images[np.argsort(quality[images].min(axis=1), kind="stable")]
    worst = quality[images].argmin(axis=1) if len(images) else images
    rows = images * len(classes) + worst
    given = truth[images, worst].astype(np.int64)
    return label_errors.listed(
        reviewed.iloc[images],
        rows,
        probs=probs,
        votes=votes,
        given=given,
        suggested=1 - given,
        names=[label_targets.two_classes(classes[label]) for label in worst.tolist()],
        columns={
            "suggested": [_turned(truth[image], flagged[image], classes) for image in images],
            "flagged": "yes",
            "label_quality": quality[images, worst].round(DIGITS),
        },
        others=others,
    )


def _turned(truth: NDArray[np.float32], flagged: NDArray[np.bool_], classes: Sequence[str]) -> str:
    has = (truth == 1) != flagged
    return label_targets.as_cell(name for name, one in zip(classes, has, strict=True) if one)
