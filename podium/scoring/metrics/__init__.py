"""The metrics, one file each: a module-level `METRIC` (podium.scoring.metric.Metric), named like its file.

Adding a metric is adding a file here, and its test in tests/test_scores.py against an independent formula.
"""
