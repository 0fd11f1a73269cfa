"""Package .."""
