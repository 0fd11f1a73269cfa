"""Package ensembling."""
