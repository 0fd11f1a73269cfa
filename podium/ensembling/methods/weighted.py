"""The mean of probabilities with the weights of the smallest log loss, shrunk to equal weights."""

from collections.abc import Sequence

import numpy as np
from scipy import optimize

from podium.ensembling.blending import Fitting, LinearBlend, Method, equal_weights, own_probs
from podium.predictions.calibration import Probs, Values

SHRINKAGE = 20.0  # images whose worth of evidence holds log-loss weights at equal ones


def fit(members: Sequence[Probs], fitting: Fitting) -> LinearBlend:
    """Find the weights of the mean of probabilities with the smallest log loss, held at equal weights.

    Minimises the summed log loss over weights >= 0 that sum to 1, plus SHRINKAGE / 2 x members x the squared distance
    to equal weights: a convex problem. What few images say then moves little.
    """
    own = np.stack([own_probs(members[member], fitting.targets) for member in range(len(members))])  # (members, images)
    even = equal_weights(len(own))
    strength = SHRINKAGE * len(own)

    def loss(w: Values) -> tuple[float, Values]:
        blend = w @ own
        away = w - even
        value = -np.log(blend).sum() + strength / 2 * (away**2).sum()
        return value / own.shape[1], (-own @ (1 / blend) + strength * away) / own.shape[1]

    total = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like}
    found = optimize.minimize(
        loss, even, jac=True, method="SLSQP", bounds=[(0, 1)] * len(own), constraints=total, options={"ftol": 1e-9}
    )
    clipped = np.clip(found.x, 0, 1)
    return LinearBlend(np.asarray(clipped / clipped.sum(), np.float64))


METHOD = Method(
    name="weighted",
    meaning="the mean with the weights of the smallest log loss, shrunk towards equal ones",
    fit=fit,
    order=4,
    is_tempered=True,
)
