"""Whether the suspected labels of `review` mean something."""

from collections.abc import Mapping
from typing import Any


def all_at_chance(summary: Mapping[str, Any]) -> bool:
    """Return whether no member is better than chance, by the summary of `review`; the suspects are then noise."""
    return len(summary["members_at_chance"]) == len(summary["members"])
