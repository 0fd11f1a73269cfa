"""The `contest` section as YAML, with a comment on each value."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

WIDTH = 120
_NUMBER = re.compile(r"[-+.]?[0-9.]")
NESTED = ("images", "lists", "columns", "submission")


class _Dumper(yaml.SafeDumper):
    """Puts quotes around texts that begin like a number: DVC reads YAML 1.2, which has other numbers than PyYAML."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _NUMBER.match(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted)


def write(section: Mapping[str, Any], why: Mapping[str, str]) -> str:
    """Return the section, from `contest:` on.

    Args:
        section: its values.
        why: dotted key within it -> comment.
    """
    lines = ["contest:"]
    for key, value in section.items():
        if key in NESTED and value:
            lines += [f"  {key}:"]
            for inner, cell in value.items():
                lines += line(inner, cell, why.get(f"{key}.{inner}", ""), indent=4)
        else:
            lines += line(key, value, why.get(key, ""), indent=2)
    return "\n".join(lines) + "\n"


def line(key: str, value: Any, comment: str, *, indent: int) -> list[str]:
    """Return a key with its comment behind it, or above it if both are longer than a line."""
    text = f"{' ' * indent}{key}: {_scalar(value)}"
    comment = " ".join(comment.split())
    if not comment:
        return [text]
    if len(text) + len(comment) + 4 <= WIDTH:
        return [f"{text}  # {comment}"]
    return [f"{' ' * indent}# {comment}", text]


def _scalar(value: Any) -> str:
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
