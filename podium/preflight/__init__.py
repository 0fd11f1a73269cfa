"""Package preflight."""
