"""Probes: linear classifiers on frozen features.

classifier_file.py  a probe's classifiers on disk, for new images
discriminant.py     linear discriminant analysis with a shared, shrunken covariance, for large contests
features_file.py    a member's features on disk
joint_probe.py      one classifier on the features of all members
linear_probe.py     logistic regression, or the discriminant above a limit; predictions by fold
member_probe.py     the features and predictions of one member at every image size
novelty.py          how unlike the training images a new image is
"""
