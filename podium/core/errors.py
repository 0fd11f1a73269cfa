"""The error for a user's mistake: its message names the file, row or key, and what to do."""

import unicodedata


class InputError(Exception):
    """A user's file (an image, a CSV, params.yaml, weights) cannot be used as it is.

    The message is shown without a traceback, so it must name the place and the remedy itself.
    """


def legible(text: str) -> str:
    r"""Escape control characters, e.g. as \x1b, because a terminal would obey them."""
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) == "Cc" else c for c in text)


def some(items: list[str], limit: int = 5) -> str:
    """Join the first `limit` items for a message, escaped by `legible`, and add how many more there are."""
    shown = ", ".join(map(legible, items[:limit]))
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
