"""Check that DVC and Podium read the same values from params.yaml: DVC reads YAML 1.2, PyYAML reads YAML 1.1."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from podium.core import params
from podium.core.errors import InputError


def require_agreement(root: Path) -> None:
    """Refuse values that the two read differently, e.g. `010`: 8 in YAML 1.1 and 10 in YAML 1.2.

    Raises:
        InputError: names the keys, or the line that DVC cannot read, e.g. of a duplicate key.
    """
    try:
        theirs = YAML(typ="safe").load((root / "params.yaml").read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" line {error.problem_mark.line + 1}:"
        raise InputError(f"params.yaml:{line} DVC cannot read it: {error.problem}") from None
    rows = [
        f"params.yaml: {key}: DVC reads {dvc!r} here and Python {python!r}: write the number without leading zeros,"
        " or quote the text"
        for key, python, dvc in _differing(params.read(root), theirs, "")
    ]
    if rows:
        raise InputError("\n".join(rows))


def _differing(python: Any, dvc: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(python, dict) and isinstance(dvc, dict) and python.keys() == dvc.keys():
        for name in python:
            yield from _differing(python[name], dvc[name], f"{key}.{name}".strip("."))
    elif isinstance(python, list) and isinstance(dvc, list) and len(python) == len(dvc):
        for i, pair in enumerate(zip(python, dvc, strict=True)):
            yield from _differing(*pair, f"{key}.{i}")
    elif (type(python), python) != (type(dvc), dvc) and not _is_a_number_as_text(python, dvc):
        yield key, python, dvc


def _is_a_number_as_text(python: Any, dvc: Any) -> bool:
    """PyYAML reads `1e-4` as text; the settings turn it into the number that DVC reads."""
    try:
        return isinstance(python, str) and isinstance(dvc, float) and float(python) == dvc
    except ValueError:
        return False
