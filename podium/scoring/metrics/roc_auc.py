"""The area under the ROC curve, one class against the rest, mean over classes; of two classes the second's."""

from functools import partial

from podium.scoring import rank_scores, set_scores
from podium.scoring.metric import Metric, metric_of_sets


def _images_of_area(area: float, positives: int, negatives: int) -> float:
    """Source: Newcombe 2006, Statistics in Medicine 25(4), 559-573, method 5."""
    others = (positives + negatives) / 2 - 1
    return positives * negatives / (1 + others * ((1 - area) / (2 - area) + area / (1 + area)))


METRIC = Metric(
    name="roc_auc",
    greater_is_better=True,
    mean_over="classes",
    lowest=0,
    chosen_by="itself",
    thresholds="likeliest",
    of_ranks=True,
    of_probs=partial(rank_scores.one_against_rest, curve=rank_scores.ROC_AUC),
    images_of_area=_images_of_area,
)
SETS = metric_of_sets("roc_auc", partial(set_scores.columns, curve=rank_scores.ROC_AUC), judges_labels=False)
