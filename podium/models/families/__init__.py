"""Backbone families that timm lacks, one module a family; podium/models/family_registry.py finds them by itself.

To add a family, add one module here and tests/test_<module>.py. The module's docstring names its source. It defines:

NAMES        tuple of the backbone names that the module registers with timm, e.g. ("fcanet50", "fcanet101")
register()   register every name of NAMES with timm (timm.models.register_model); calling it again does nothing

A registered backbone behaves like timm's own: timm.create_model builds it with `num_classes`, its `pretrained_cfg`
names `classifier`, `mean` and `std`, and it has `forward_features` and `forward_head`.

fcanet.py    FcaNet: channel attention on frequencies
"""
