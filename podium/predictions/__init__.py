"""What the members predict, and how it is calibrated.

blend_names.py         names of the blend's members
calibration.py         temperature scaling and class priors
case_means.py          means over the images of a case
member_predictions.py  where each member's predictions lie, and how a TTA is read
prediction_files.py    prediction tables, joined by image_id and checked
tta.py                 test-time augmentation: sizes, transforms and phases
"""
