"""The error for a user's mistake: its message names the file, row or key, and what to do."""

import re
import unicodedata


class InputError(Exception):
    """A user's file (an image, a CSV, params.yaml, weights) cannot be used as it is.

    The message is shown without a traceback, so it must name the place and the remedy itself.
    """


_UNSHOWN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of characters, separators of lines
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # they change the order of the text after them


def legible(text: str) -> str:
    r"""Escape characters that a terminal would obey or cannot print, e.g. as \x1b or \u202e."""
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSHOWN or _BIDI.match(c) else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def some(items: list[str], limit: int = 5) -> str:
    """Join the first `limit` items for a message, escaped by `legible`, and add how many more there are."""
    shown = ", ".join(map(legible, items[:limit]))
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
