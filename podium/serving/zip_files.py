"""Zip files whose bytes depend on their content alone."""

import zipfile
from pathlib import Path

from podium.core import tables

MOMENT = (2026, 1, 1, 0, 0, 0)  # of every file in a zip


def write(folder: Path) -> None:
    """Write a zip of a folder beside it; the same files give the same bytes."""
    with tables.replacing(folder.with_name(f"{folder.name}.zip")) as temporary, zipfile.ZipFile(temporary, "w") as file:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = zipfile.ZipInfo((Path(folder.name) / path.relative_to(folder)).as_posix(), MOMENT)
            file.writestr(name, path.read_bytes(), zipfile.ZIP_DEFLATED)
