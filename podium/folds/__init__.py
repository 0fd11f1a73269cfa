"""Package folds."""
