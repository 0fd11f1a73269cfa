"""The plain mean of log probabilities."""

from collections.abc import Sequence

from podium.ensembling.blending import Fitting, LogBlend, Method, equal_weights
from podium.predictions.calibration import Probs


def fit(members: Sequence[Probs], fitting: Fitting) -> LogBlend:  # noqa: ARG001
    """Blend by the plain mean of log probabilities."""
    return LogBlend(equal_weights(len(members)))


METHOD = Method(
    name="logits",
    meaning="the mean of their log probabilities",
    fit=fit,
    order=1,
    is_tempered=True,
)
