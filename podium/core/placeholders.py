"""Placeholder paths for inputs that a contest or a member does not have: DVC crashes on a null path."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

NO_FILE = "placeholders/none.csv"
NO_FOLDER = "placeholders/empty"


def _refuse_null(placeholder: str) -> BeforeValidator:
    def refuse(value: Any) -> Any:
        if value is None:
            raise ValueError(f"is null; DVC needs a path, if there is none, say {placeholder}")
        return value

    return BeforeValidator(refuse)


FileOrNone = Annotated[str, Field(min_length=1), _refuse_null(NO_FILE)]
FolderOrNone = Annotated[str, Field(min_length=1), _refuse_null(NO_FOLDER)]


def is_none(path: Path) -> bool:
    """Return whether a path is NO_FILE, under any project folder."""
    return path.as_posix() == NO_FILE or path.as_posix().endswith(f"/{NO_FILE}")
