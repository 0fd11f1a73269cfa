"""Sections of params.yaml, one file for each group of stages that reads them."""
