"""Probes: linear classifiers on frozen features.

classifier_file.py  a probe's classifiers on disk, for new images
discriminant.py     linear discriminant analysis with a shared, shrunken covariance, for large contests
feature_space.py    regressions on standardised features, and their strengths
features_file.py    a member's features on disk
held_out_scores.py  accuracy and log loss of a probe, for what the stages print
joint_probe.py      one classifier on the features of all members
label_probe.py      a regression for each label of sets of labels
linear_probe.py     logistic regression, or the discriminant above a limit; predictions by fold
member_probe.py     the features and predictions of one member at every image size
novelty.py          how unlike the training images a new image is
"""
