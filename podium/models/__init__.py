"""Models: build a timm backbone, load and save its weights, preprocess images and predict them.

backbones.py         build timm models, load weights with every key checked, save them with metadata
devices.py           device, threads, precision and determinism of a torch process
families/            backbone families that timm lacks, one file a family
family_registry.py   finds and registers the families
initial_weights.py   the weights a member starts from: hub, file or random
plain_images.py      images of a pack in batches, without augmentation
predict.py           probabilities and features of images
preprocessing.py     pixels to model input at a size
probe_heads.py       the linear heads of a member's probe on disk, one per fold
settings.py          the sections `model` and `torch`
"""
