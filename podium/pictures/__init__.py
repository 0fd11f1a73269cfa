"""Package pictures."""
