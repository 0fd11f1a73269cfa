"""The section `contest.lists`: which files of the image folders are train and test images."""

from typing import Annotated, Self

from pydantic import Field, model_validator

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
        train_id: the train list's column of ids; then `file` and `id` are columns of the test list alone.
        train_pattern, test_pattern: regular expressions that are looked for in each path. A group `id` of test_pattern
            is the id that the template has.
    """

    train: FileOrNone = NO_FILE
    test: FileOrNone = NO_FILE
    file: str | None = Field(None, min_length=1)
    id: str | None = Field(None, min_length=1)
    train_id: str | None = Field(None, min_length=1)
    train_pattern: Pattern | None = None
    test_pattern: Pattern | None = None

    @model_validator(mode="after")
    def _refuse_columns_without_effect(self) -> Self:
        others = {self.test} if self.train_id is not None else {self.train, self.test}
        for key, lists in {"file": others, "id": others, "train_id": {self.train}}.items():
            if getattr(self, key) is not None and lists == {NO_FILE}:
                raise ValueError(f"{key} names a column of a list, but no list is given: add the list, or remove {key}")
        return self

    def selects(self, subset: str) -> bool:
        """Say whether only some of a folder's files are the images of a subset."""
        return getattr(self, subset) != NO_FILE or getattr(self, f"{subset}_pattern") is not None
