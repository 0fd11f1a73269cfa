"""Classes that are all in one fold: which scores say nothing of them."""

from typing import Any

import numpy as np
import pandas as pd

from podium.core import tables
from podium.core.errors import some
from podium.core.targets import names_in
from podium.folds import rare_classes
from podium.scoring.metric import Metric, Probs, Targets


def summary(used: pd.DataFrame, targets: Targets, probs: Probs, metric: Metric) -> dict[str, Any]:
    """Count these classes, and score the images of all others.

    Returns:
        classes, images, metric, score (of all scored images) and score_without (of the images of other classes; None
        where the metric is not defined there, or where there is no such class).
    """
    names = rare_classes.unseen(used)
    is_known = used["label"].map(lambda cell: names_in([cell]).isdisjoint(names)).to_numpy(bool)
    known = np.repeat(is_known, metric.n_labels)
    return {
        "classes": names,
        "images": int((~is_known).sum()),
        "metric": metric.name,
        "score": tables.rounded(metric.function(targets, probs)),
        "score_without": _score(targets[known], probs[known], metric) if names and known.any() else None,
    }


def sentences(found: dict[str, Any]) -> list[str]:
    """Say which scores say nothing of which classes."""
    if not found["classes"]:
        return []
    without = "" if found["score_without"] is None else f" Without them it is {found['score_without']:.4f}."
    return [
        f"{len(found['classes'])} classes ({found['images']} images) lie in one fold each: {some(found['classes'])}."
        " The model that predicts these images never saw their class, so their recall and F1 by class say nothing, and"
        f" {found['metric']} {found['score']:.4f} counts them as it finds them.{without}"
    ]


def _score(targets: Targets, probs: Probs, metric: Metric) -> float | None:
    value = float(metric.weighted(targets, probs, np.ones((len(targets) // metric.n_labels, 1)))[0])
    return tables.rounded(value)
