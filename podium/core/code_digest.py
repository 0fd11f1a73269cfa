"""A hash of Podium's own code, for states of unfinished work that other code must not continue."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import podium
from podium.core import tables


def of(names: Iterable[str]) -> str:
    """Return a hash of packages and files, e.g. "core" or "contracts.py", inside podium/."""
    home = Path(podium.__file__).parent
    paths = [home / name for name in names]
    files = {file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])}
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(home).as_posix()} {tables.file_hash(file)} ".encode())
    return digest.hexdigest()
