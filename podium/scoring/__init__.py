"""Metrics, intervals and comparisons; every unit is a group of images.

comparison.py      is B better than A: in the metric and in log loss, with a verdict
evaluation_set.py  the scored images, their outer folds, and the cost that choices make small
first_labels.py    metrics that read the k most probable classes of an image
intervals.py       intervals and tests by group
label_scores.py    scores of predicted classes, from counts
log_losses.py      the log loss of each image; predictions that differ by rounding alone
metric.py          what a metric is, and the facts that it must state
metrics/           the metrics, one file each
number_losses.py   losses of the expected value, of classes that are numbers
own_metric.py      a metric of the user's own, by an import path
proportions.py     the interval of a share
rank_scores.py     areas under curves, one class against the rest
scores.py          the registry of metrics
set_scores.py      scores of sets of labels
thresholds.py      the predicted class: multipliers of probabilities, or cuts of the expected position
"""
