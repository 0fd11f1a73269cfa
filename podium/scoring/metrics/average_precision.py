"""Average precision, one class against the rest, mean over classes; of two classes the second's."""

from functools import partial

from podium.scoring import rank_scores, set_scores
from podium.scoring.metric import Metric, metric_of_sets


def _images_of_area(area: float, positives: int, negatives: int) -> float:  # noqa: ARG001
    """Source: Boyd, Eng & Page 2013, ECML PKDD, 451-466 (binomial, by the number of positives)."""
    return float(positives)


METRIC = Metric(
    name="average_precision",
    greater_is_better=True,
    mean_over="classes",
    lowest=0,
    chosen_by="itself",
    thresholds="likeliest",
    of_ranks=True,
    of_probs=partial(rank_scores.one_against_rest, curve=rank_scores.AVERAGE_PRECISION),
    images_of_area=_images_of_area,
)
SETS = metric_of_sets(
    "average_precision", partial(set_scores.columns, curve=rank_scores.AVERAGE_PRECISION), judges_labels=False
)
