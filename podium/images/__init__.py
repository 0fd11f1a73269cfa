"""Package images."""
