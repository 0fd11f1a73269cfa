"""The area under the ROC curve where true positive rates below 0.4 count twice (ALASKA2), one class against the rest.

Mean over classes; of two classes the second's.
"""

from dataclasses import replace
from functools import partial

from podium.scoring import rank_scores
from podium.scoring.metrics import roc_auc

METRIC = replace(
    roc_auc.METRIC,
    name="weighted_auc",
    of_probs=partial(rank_scores.one_against_rest, curve=rank_scores.WEIGHTED_AUC),
)
