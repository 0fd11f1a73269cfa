"""Audit: label leakage through metadata, and adversarial validation of the test set.

auditing.py   out-of-fold scores of gradient boosting on a few features, and their importances
metadata.py   features of images that do not depend on what is shown
"""
