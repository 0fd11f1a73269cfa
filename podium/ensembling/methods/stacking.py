"""A regularised logistic regression on all members' log probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from podium.ensembling.blending import BlendSizes, Fitting, Method
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Values

INVERSE_PENALTY = 0.1  # scikit-learn's C of stacking: tools/measure_choices.py compares others
MAX_FEATURES = 500  # of stacking: members x classes


@dataclass(frozen=True, eq=False)
class StackedBlend:
    """Multinomial logistic regression on all members' log probabilities.

    Attributes:
        coefficients: (members, classes, classes): of a member's log probabilities, for each class's logit.
        intercepts: (classes,).
    """

    coefficients: Values
    intercepts: Values
    weights: None = None

    def add(self, total: Values, member: int, probs: Probs) -> None:
        """See Blend."""
        total += _features(probs) @ self.coefficients[member]

    def finish(self, total: Values) -> Probs:
        """See Blend."""
        return calibration.scaled((total + self.intercepts).astype(np.float32), 1.0)


def fit(members: Sequence[Probs], fitting: Fitting) -> StackedBlend:
    """Fit a regularised logistic regression (scikit-learn) from all members' log probabilities to the class.

    Source: Wolpert 1992, Neural Networks 5(2); Ting & Witten 1999, JAIR 10 (probabilities, not labels).
    """
    features = np.hstack([_features(members[member]) for member in range(len(members))])
    n_classes = members[0].shape[1]
    from sklearn.linear_model import LogisticRegression  # half a second that only stacking needs

    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000, tol=1e-3).fit(features, fitting.targets)
    full = np.zeros((features.shape[1], n_classes))
    intercepts = np.full(n_classes, np.log(calibration.FLOOR))  # of a class that no image has
    if len(model.classes_) == 2:  # one logit, of the second class
        full[:, model.classes_] = np.column_stack([-model.coef_[0] / 2, model.coef_[0] / 2])
        intercepts[model.classes_] = np.array([-0.5, 0.5]) * model.intercept_[0]
    else:
        full[:, model.classes_], intercepts[model.classes_] = model.coef_.T, model.intercept_
    return StackedBlend(full.reshape(len(members), n_classes, n_classes), intercepts)


def _unusable(sizes: BlendSizes) -> str:
    if sizes.n_members * sizes.n_classes <= MAX_FEATURES:
        return ""
    return f"stacking {sizes.n_members} members with {sizes.n_classes} classes has more than {MAX_FEATURES} features"


def _features(probs: Probs) -> Values:
    """Log probabilities about their mean over classes (images, classes): only their differences mean something."""
    logs = calibration.log_probs(probs).astype(np.float64)
    return cast(Values, logs - logs.mean(axis=1, keepdims=True))


METHOD = Method(
    name="stacking",
    meaning="a logistic regression on all members' log probabilities",
    fit=fit,
    order=5,
    is_tempered=False,
    unusable=_unusable,
)
