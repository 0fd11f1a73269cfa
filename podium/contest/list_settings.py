"""The section `contest.lists`: which files of the image folders are train and test images."""

from typing import Annotated

from pydantic import Field

from podium.core.params import Section
from podium.core.patterns import pattern_with
from podium.core.placeholders import NO_FILE, FileOrNone

Pattern = Annotated[str, Field(min_length=1), pattern_with()]


class ImageLists(Section):
    """Tables that list the images of a subset, or patterns of their paths; where neither is given, all files are it.

    Attributes:
        train, test: tables with a row per image, or the placeholder.
        file: the tables' column of files; null means the column of ids.
        id: the tables' column of ids; null means the first column. The template names test images by it.
        train_pattern, test_pattern: regular expressions that are looked for in each path. A group `id` of test_pattern
            is the id that the template has.
    """

    train: FileOrNone = NO_FILE
    test: FileOrNone = NO_FILE
    file: str | None = Field(None, min_length=1)
    id: str | None = Field(None, min_length=1)
    train_pattern: Pattern | None = None
    test_pattern: Pattern | None = None

    def selects(self, subset: str) -> bool:
        """Say whether only some of a folder's files are the images of a subset."""
        return getattr(self, subset) != NO_FILE or getattr(self, f"{subset}_pattern") is not None
