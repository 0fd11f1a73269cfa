"""Blending methods, one file each: a module-level `METHOD` (podium.ensembling.blending.Method), named like its file.

Adding a method is adding a file here, and its test in tests/test_blending.py. A method whose blend is none of those in
podium/ensembling/recipe_schema.py also needs its form there and in podium/serving/standalone/blend.py; a test names it.
"""
