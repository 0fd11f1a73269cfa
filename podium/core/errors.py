"""The one error a person's mistake raises: it names the file, row or key, and what to do."""

import unicodedata


class InputError(Exception):
    """Something a person brought (image, CSV, params.yaml, weights) cannot be used as it is.

    The message is shown without a traceback, so it must name the place and the remedy by itself.
    """


def legible(text: str) -> str:
    r"""Spell out control characters, as \x1b, which would command the terminal that shows them."""
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) == "Cc" else c for c in text)


def some(items: list[str], limit: int = 5) -> str:
    """Join the first `limit` items for a message, each in legible characters, and say how many more there are."""
    shown = ", ".join(map(legible, items[:limit]))
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
