"""Podium: from a folder of labelled images to a contest submission. The packages, from the bottom layer up.

core            errors, settings, tables, packed pixels and worker processes
contracts       the tables that pass between stages: the data dictionary
folds           assign images to folds and outer folds; settle conflicting labels of duplicates
models          backbones, initial weights, preprocessing, and prediction
images          find and decode image files
analysis        duplicates, leaks between train and test, and odd images
pictures        draw contact sheets, and write tables for `dvc plots`
audit           can metadata predict the label, or the subset (adversarial validation)?
scoring         metrics, confidence intervals, tests, and thresholds
probes          linear classifiers on frozen features
contest         labels, overrides, predictions made elsewhere, and the submission
training        train one phase of a member: pretrain, finetune, fixres, pseudo or distill
inference       predict with the models of a member's folds
predictions     the members' out-of-fold and test predictions, test-time augmentation (TTA), and calibration
ensembling      blend the members, with nested cross-validation
reports         confusion, calibration, diversity, ablation and suspected label errors
activation_maps where a member looks in the blend's surest mistakes
preflight       check settings, models and disk before anything is trained
serving         predict new images with the trained blend; bundle it as ONNX
page            the report as one HTML page
discovery       look at a contest's folder and propose its settings
"""
