"""Inference: predict train images out of fold and test images with a member's fold models.

fold_models.py     load the fold models and write their predictions
soup.py            models with the mean weights of several members' models
stored_images.py   test images that all fold models share, resized once
settings.py        the section of one member, and `infer` in it
"""
