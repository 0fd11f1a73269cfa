"""A metric of the user's own: `max module:function` where higher is better, `min module:function` of a loss.

The function takes targets (images,), the index of each image's class; probs (images, classes), rows summing to 1; and
classes, the names in the order of the columns. It returns a number. The module is found from the project's folder, e.g.
`data.contest.my_metric` is the file data/contest/my_metric.py. Of sets of labels, targets are (images, labels), 1 where
the image has the label, and probs (images, labels) are the labels' own.
"""

import importlib
import math
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.core import targets as label_targets
from podium.core.errors import InputError
from podium.scoring.metric import Metric, Probs, Targets, Values
from podium.scoring.set_scores import LabelSets

_FORM = re.compile(r"(max|min) ([A-Za-z_][\w.]*):([A-Za-z_]\w*)")

MOST_TRIED = 1000  # classes, of `try_out`
OwnFunction = Callable[[Targets, Probs, Sequence[str]], float]


def is_own(name: str) -> bool:
    """Say whether a metric's name has the form of a metric of the user's own."""
    return _FORM.fullmatch(name) is not None


def is_own_loss(name: str) -> bool:
    """Say whether it has that form, and lower is better."""
    return is_own(name) and name.startswith("min ")


def load(name: str, classes: Sequence[str]) -> Metric:
    """Import the function and make a Metric of it. Log loss chooses between candidates, as for most metrics.

    Raises:
        InputError: it cannot be imported.
    """
    weighted = partial(_weighted, function=_function(name), classes=tuple(classes), name=name)
    sets = label_targets.are_sets(classes)
    return Metric(
        name=name,
        greater_is_better=not is_own_loss(name),
        mean_over="none",
        lowest=-math.inf,
        chosen_by="log_loss",
        thresholds="likeliest",
        of_probs=None if sets else weighted,
        of_sets=partial(_weighted_sets, weighted=weighted) if sets else None,
        n_labels=label_targets.rows_per_image(classes),
    )


def _function(name: str) -> OwnFunction:
    _, module, attribute = _FORM.fullmatch(name).groups()  # type: ignore[union-attr]
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function: OwnFunction = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # of any line of the user's file
        raise InputError(
            f"params.yaml: contest.metric: {name}: cannot be imported from the project's folder: {error}"
        ) from None
    if not callable(function):
        raise InputError(f"params.yaml: contest.metric: {name}: {attribute} is no function")
    return function


def try_out(metric: Metric, classes: Sequence[str]) -> None:
    """Call the function for made-up images, before anything is trained.

    Raises:
        InputError: it fails, or returns no number, for images of all classes; or it fails for images of one class.
    """
    if len(classes) > MOST_TRIED:
        return
    truth: NDArray[Any] = np.eye(len(classes))
    probs = (truth + 1 / len(classes)) / 2
    if label_targets.are_sets(classes):
        truth, probs = np.vstack([truth, 1 - truth]), np.vstack([probs, 1 - probs])
    else:
        truth, probs = np.arange(len(classes)).repeat(2), probs.repeat(2, axis=0)
    for n_images in (len(truth), 2):  # 2: those of one class, as a draw of a bootstrap may be
        rows = label_targets.as_rows(truth[:n_images]), label_targets.probs_of_rows(probs[:n_images], classes)
        value = metric.weighted(*rows, np.ones((n_images, 1)))[0]
        if n_images == len(truth) and not math.isfinite(value):
            raise InputError(f"params.yaml: contest.metric: {metric.name} returns {value} for images of all classes")


def _weighted_sets(sets: LabelSets, weights: NDArray[Any], weighted: Callable[..., Values]) -> Values:
    return weighted(sets.truth.astype(np.int64), sets.probs, weights)


def _weighted(
    targets: Targets,
    probs: Probs,
    weights: NDArray[Any],
    *,
    function: OwnFunction,
    classes: Sequence[str],
    name: str,
) -> Values:
    """Call the function for every weighting: an image of weight 2 stands there twice."""
    positions, values = np.arange(len(targets)), []
    for column in weights.T:
        rows = np.repeat(positions, column.astype(np.int64))
        try:
            value = function(targets[rows], probs[rows], classes)
        except Exception as error:
            raise InputError(
                f"params.yaml: contest.metric: {name} fails: {type(error).__name__}: {error}. Here it gets {len(rows)}"
                f" images, and some of {len(classes)} classes may have none: return float('nan') where it is undefined"
            ) from error
        values.append(_value(value, name))
    return np.array(values, np.float64)


def _value(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"params.yaml: contest.metric: {name} must return a number, not {value!r}") from None
