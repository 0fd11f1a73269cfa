"""Package predictions."""
