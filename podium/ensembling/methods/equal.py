"""The plain mean of probabilities: the baseline of the others."""

from collections.abc import Sequence

from podium.ensembling.blending import Fitting, LinearBlend, Method, equal_weights
from podium.predictions.calibration import Probs


def fit(members: Sequence[Probs], fitting: Fitting) -> LinearBlend:  # noqa: ARG001
    """Blend by the plain mean of probabilities: the baseline to beat."""
    return LinearBlend(equal_weights(len(members)))


METHOD = Method(
    name="equal",
    meaning="the mean of the members' probabilities",
    fit=fit,
    order=0,
    is_tempered=True,
)
