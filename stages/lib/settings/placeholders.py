"""Where an input points that a contest or member lacks: DVC crashes on a null path."""

from pathlib import Path

NO_FILE = "placeholders/none.csv"
NO_FOLDER = "placeholders/empty"


def is_none(path: Path) -> bool:
    """Return whether a path is NO_FILE, under whatever project folder."""
    return path.as_posix() == NO_FILE or path.as_posix().endswith(f"/{NO_FILE}")
