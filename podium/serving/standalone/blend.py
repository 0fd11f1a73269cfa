"""Members' probabilities -> the blend's, by the numbers of recipe.json (docs/predict.md describes them)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]  # (images, classes)

FLOOR = 1e-15  # of a probability
LEAD = 1.001  # of the predicted class over the next one, where another class is the likeliest


def softmax(logits: Values) -> Values:
    """Turn logits (..., classes) into probabilities."""
    exps = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exps / exps.sum(axis=-1, keepdims=True))


def logs(probs: Values) -> Values:
    """Return log probabilities, none below log FLOOR."""
    return np.asarray(np.log(np.maximum(probs, FLOOR)))


def calibrated(probs: Values, member: dict[str, Any], fold: str) -> Values:
    """Put back a share of the class priors and apply a member's temperature."""
    found = logs(probs)
    if member["log_priors"] and member["prior_strength"]:
        found = logs(softmax(found + member["prior_strength"] * np.array(member["log_priors"][fold])))
    return softmax(found / member["temperature"])


def blended(recipe: dict[str, Any], members: Sequence[Values | None]) -> Values:
    """Blend the probabilities of one fold's models; None for a member of weight 0."""
    blend, parts = recipe["blend"], []
    for index, probs in enumerate(members):
        if probs is None:
            continue
        if blend["kind"] == "stacked":
            about_mean = logs(probs) - logs(probs).mean(axis=1, keepdims=True)
            parts.append(about_mean @ np.array(blend["coefficients"][index]))
        else:
            parts.append(blend["weights"][index] * _member(blend, index, probs))
    total = np.sum(parts, axis=0)
    if blend["kind"] == "stacked":
        total = softmax(total + np.array(blend["intercepts"]))
    elif blend["kind"] == "log":
        total = softmax(total)
    else:
        total = total / total.sum(axis=1, keepdims=True)
    return total if recipe["temperature"] == 1 else softmax(logs(total) / recipe["temperature"])


def decided(recipe: dict[str, Any], probs: Values) -> Values:
    """Change probabilities so that the likeliest class is the one to predict for the contest's metric."""
    decision = recipe["decision"]
    if decision is None:
        return probs
    values = np.array(decision["values"])
    if decision["kind"] == "multipliers":
        raised = probs * values
    else:
        predicted = np.argsort(values)[np.searchsorted(decision["cuts"], probs @ values)]
        moved = np.flatnonzero(predicted != probs.argmax(axis=1))
        raised = probs.copy()
        raised[moved, predicted[moved]] = LEAD * raised[moved].max(axis=1)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _member(blend: dict[str, Any], index: int, probs: Values) -> Values:
    if blend["kind"] == "log":
        return logs(probs)
    if blend["kind"] == "ranks":
        known = blend["references"][index]
        return np.stack([np.interp(probs[:, c], *known[c]) for c in range(probs.shape[1])], axis=1)
    return probs
