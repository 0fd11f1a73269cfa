"""The command of a run without some members: it removes them from every map of params.yaml, as `check` wants."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAPS = ("members", "fixres", "pseudo", "soup", "distill", "external")  # of params.yaml, whose keys are members


def command(values: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the command, "" where the names stand in no map or no other member is left.

    Args:
        values: of params.yaml.
        names: of members and of predictions made elsewhere.
    """
    maps = {key: values.get(key, {}) for key in MAPS}
    words = [f"~{key}.{name}" for name in names for key in MAPS if name in maps[key]]
    words += _smaller_soups(maps["soup"], names)
    options = " ".join(f"-S '{word}'" for word in words)
    return f"dvc exp run {options}" if words and maps["members"].keys() - set(names) else ""


def _smaller_soups(soups: Mapping[str, Mapping[str, Sequence[str]]], names: Sequence[str]) -> Iterator[str]:
    """Yield what takes members out of the soups of others; where no other is left, the soup goes too."""
    for name, soup in soups.items():
        if name in names or not set(soup["members"]) & set(names):
            continue
        left = [other for other in soup["members"] if other not in names]
        yield f"soup.{name}.members=[{','.join(left)}]" if left else f"~soup.{name}"
