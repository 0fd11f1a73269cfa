"""Which outputs `check` removes, in lines for the user."""

from collections.abc import Sequence
from pathlib import Path

from podium.core.errors import some
from podium.core.wording import counted

NAMED = 3  # removed paths that a line names


def lines(paths: Sequence[Path], root: Path) -> list[str]:
    """Describe outputs that will be removed, one line per stage's folder: files, size and names."""
    folders: dict[str, list[Path]] = {}
    for path in paths:
        folders.setdefault("/".join(path.relative_to(root).parts[:2]), []).append(path)
    described = []
    for folder, entries in folders.items():
        files = [file for path in entries for file in _files(path)]
        size = sum(file.lstat().st_size for file in files)
        names = some([path.relative_to(root / folder).as_posix() for path in entries], NAMED)
        described.append(f"{counted(len(files), 'file')} of {folder} ({size / 1e6:,.1f} MB): {names}")
    return described


def _files(path: Path) -> list[Path]:
    """Return the files and links at a path, and inside it if it is a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return [path]
    return [file for entry in path.iterdir() for file in _files(entry)]
