"""The blend: choices, nested cross-validation, the submission.

blending.py         what a blending method is, and how a blend is applied
curves.py           the curves of all trainings in one table
evidence_tables.py  what was chosen and why, as tables
inputs.py           settings, folds and members' predictions; the members' TTAs
leakage.py          labels that duplicates in train give away
method_registry.py  the registry of blending methods
methods/            the blending methods, one file each
nested_cv.py        nested cross-validation of all choices
outputs.py          predictions, submission and summary
recipe_file.py      what was decided, written for images that come later
recipe_schema.py    the schema of that file
selection.py        the choice of method and thresholds
settings.py         the section `ensemble`
teacher.py          what each fold's blend predicts of test images, for `distill`
tta_selection.py    the choice of a member's TTA and phase
"""
