"""Package contest."""
