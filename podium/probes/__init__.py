"""Probes: linear classifiers on a frozen backbone's features.

discriminant.py   linear discriminant analysis with a shared, shrunken covariance, for large contests
linear_probe.py   logistic regression, or the discriminant above a limit; out-of-fold predictions
"""
