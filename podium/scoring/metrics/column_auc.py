"""The mean of the columns' areas under the ROC curve: `roc_auc` by the name that contests with several columns use.

With one label an image the two columns of two classes have the same area, so that it is the same number.
"""

from dataclasses import replace

from podium.scoring.metrics import roc_auc

METRIC = replace(roc_auc.METRIC, name="column_auc")
SETS = replace(roc_auc.SETS, name="column_auc")
