"""The metrics by name (`contest.metric`): the registry of podium/scoring/metrics.

A metric with a number is written with it after an @, e.g. `map@5`: its file has a function `at` of the number. A metric
of the user's own is written as podium.scoring.own_metric says.

A file's SETS, and `sets_at` of a number, is the metric of sets of labels; a file without has none.

All take `targets` (images,), class indices, and `probs` (images, classes), rows summing to 1. label_scores.py and
rank_scores.py say what happens where a class has no image. `log_loss` looks at each image's own class alone.
"""

import importlib
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from podium.core import targets as label_targets
from podium.core.errors import InputError, some
from podium.scoring import metrics, own_metric
from podium.scoring.log_losses import ROUNDING, WORST_LOSS, alike, log_losses
from podium.scoring.metric import Metric, Probs, Targets, Values

__all__ = ["ROUNDING", "WORST_LOSS", "Metric", "Probs", "Targets", "Values", "alike", "log_losses"]


def _discovered() -> dict[str, Metric]:
    """Import every file of podium/scoring/metrics.

    Raises:
        TypeError: a file has no METRIC, or one of another name than the file's.
    """
    found = {}
    for module in pkgutil.iter_modules(metrics.__path__):
        imported = importlib.import_module(f"{metrics.__name__}.{module.name}")
        metric, at = getattr(imported, "METRIC", None), getattr(imported, "at", None)
        if not isinstance(metric, Metric) or metric.name.split("@")[0] != module.name:
            raise TypeError(f"podium/scoring/metrics/{module.name}.py: define METRIC, a Metric named {module.name!r}")
        found[metric.name] = metric
        if at is not None:
            WITH_NUMBER[module.name] = at
        if hasattr(imported, "SETS"):
            OF_SETS[metric.name] = imported.SETS
        if hasattr(imported, "sets_at"):
            SETS_WITH_NUMBER[module.name] = imported.sets_at
    return found


WITH_NUMBER: dict[str, Callable[[float], Metric]] = {}  # by name without the number
OF_SETS: dict[str, Metric] = {}  # of sets of labels
SETS_WITH_NUMBER: dict[str, Callable[[float], Metric]] = {}
METRICS = _discovered()
NAMES = tuple(METRICS)
SCORES = {  # need no order of the classes, and no numbers
    name: metric for name, metric in METRICS.items() if metric.of_ordered is None and metric.of_errors is None
}
LOG_LOSS = "log_loss"
RANK_METRICS = tuple(name for name, metric in METRICS.items() if metric.of_ranks)


def _known(name: str) -> str:
    """Return the name of a metric; refuse other names.

    Raises:
        ValueError: pydantic makes an error of it that names the key.
    """
    if name in METRICS or own_metric.is_own(name) or _with_number(name) is not None:
        return name
    raise ValueError(
        f"{name!r} is no metric; choose one of {', '.join(NAMES)} (any number after the @), or name a function of your"
        " own, e.g. `max my_module:my_function`"
    )


MetricName = Annotated[str, AfterValidator(_known)]


def named(name: str, classes: Sequence[str]) -> Metric:
    """Return the metric of that name for these classes.

    Of a metric that needs ordered classes (`quadratic_kappa`), a class's position is its rank among all classes of the
    contest as numbers ("10" after "2"), whether a fold has an image of them or not. Of a metric of numbers (`rmse`) the
    classes are the numbers.

    Raises:
        InputError: it needs an order, and the classes are not numbers; or none of that name is for sets of labels.
    """
    if own_metric.is_own(name):
        return own_metric.load(name, classes)
    if label_targets.are_sets(classes):
        return _of_sets(name, classes)
    metric = METRICS.get(name) or _with_number(name)
    if metric is None:
        raise InputError(f"params.yaml: contest.metric: {name!r} is no metric")
    if metric.of_errors is not None:
        return replace(metric, numbers=_numbers(name, classes))
    return metric if metric.of_ordered is None else replace(metric, positions=_positions(name, classes))


def is_loss(name: str) -> bool:
    """Say whether lower is better; not of a name that the registry does not have, as an older commit's may be."""
    return own_metric.is_own_loss(name) or (name in METRICS and not METRICS[name].greater_is_better)


def accuracy_score(targets: Targets, probs: Probs) -> float:
    """Return the share of images whose likeliest class is the right one; ties go to the first class."""
    return SCORES["accuracy"].function(targets, probs)


def log_loss(targets: Targets, probs: Probs) -> float:
    """Return the mean cross-entropy in nats."""
    return SCORES[LOG_LOSS].function(targets, probs)


def accuracy_standard_error(accuracy: float, n_images: int) -> float:
    """Return the binomial standard error of an accuracy, as if images were independent."""
    return math.sqrt(accuracy * (1 - accuracy) / n_images)


def _of_sets(name: str, classes: Sequence[str]) -> Metric:
    metric = OF_SETS.get(name) or _with_number(name, SETS_WITH_NUMBER)
    if metric is None:
        raise InputError(
            f"params.yaml: contest.metric: {name} is not defined for sets of labels (task: labels); choose one of"
            f" {', '.join(OF_SETS)} (any number after the @)"
        )
    return replace(metric, n_labels=len(classes), fewest_labels=label_targets.fewest_labels(classes))


def _with_number(name: str, families: Mapping[str, Callable[[float], Metric]] = WITH_NUMBER) -> Metric | None:
    """Return the metric of a name such as `map@5`; None if there is none."""
    family, _, written = name.partition("@")
    number = _number(written)
    if family not in families or not 0 < number < math.inf:
        return None
    metric = families[family](number)
    return metric if metric.labels_read in (0, number) else None


def _positions(metric: str, classes: Sequence[str]) -> Values:
    values = [_number(name) for name in classes]
    unordered = [name for name, value in zip(classes, values, strict=True) if not math.isfinite(value)]
    if unordered or len(set(values)) < len(values):
        raise InputError(
            f"params.yaml: contest.metric: {metric} needs classes in an order, and takes that of numbers;"
            f" these are not distinct numbers: {some(unordered or list(classes))}; number the classes, or choose kappa"
        )
    return np.argsort(np.argsort(values)).astype(np.float64)


def _numbers(metric: str, classes: Sequence[str]) -> Values:
    values = [_number(name) for name in classes]
    if wrong := [name for name, value in zip(classes, values, strict=True) if not math.isfinite(value)]:
        raise InputError(f"params.yaml: contest.metric: {metric} needs classes that are numbers, not {some(wrong)}")
    return np.array(values, np.float64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
