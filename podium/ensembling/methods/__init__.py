"""Blending methods, one file each: a module-level `METHOD` (podium.ensembling.blending.Method), named like its file.

Adding a method is adding a file here, and its test in tests/test_blending.py.
"""
