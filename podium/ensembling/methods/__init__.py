"""Blending methods, one file each: a module-level `METHOD` (podium.ensembling.blending.Method), named like its file.

Adding a method is adding a file here, and its test in tests/test_blending.py. If its blend is none of those in
podium/ensembling/recipe_schema.py, it needs its form there and in podium/serving/standalone/blend.py too, or
tests/test_serving.py fails.
"""
