"""Folds: assign images to folds, and measure the result.

assignment.py       groups of images that stay together, and stratified folds of them
balance.py          how evenly the classes are spread over the folds
conflicts.py        duplicates whose labels differ
extra.py            images that are trained on and never scored
label_set_folds.py  folds of images with several labels
outer_folds.py      the outer folds of nested cross-validation
rare_classes.py     classes with fewer groups than folds
settings.py         the section `split` and the list `folds`
"""
