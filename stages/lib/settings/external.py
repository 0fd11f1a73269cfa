"""A section of the top-level map `external`: predictions made elsewhere, by name."""

from typing import Self

from pydantic import Field, model_validator

from stages.lib.params import Section
from stages.lib.settings.placeholders import NO_FILE, FileOrNone


class ExternalColumns(Section):
    """Names of the columns beside the classes'; null where there is no fold."""

    id: str = Field("image_id", min_length=1)
    fold: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _refuse_one_name_for_two(self) -> Self:
        if self.id == self.fold:
            raise ValueError(f"{self.id!r} is named for the id and for the fold; name two columns")
        return self


class ExternalSettings(Section):
    """Where the predictions lie: CSVs of an image id and one probability column per class.

    Attributes:
        oof: of the train images, each made by a model that has not seen the image nor others of its group.
        test: of the test images; the placeholder where the contest has none.
        columns: `fold`, in `oof` alone, names the fold whose images a model was kept from: it is held against ours.
    """

    oof: str = Field(min_length=1)
    test: FileOrNone
    columns: ExternalColumns = ExternalColumns()

    @model_validator(mode="after")
    def _two_files(self) -> Self:
        if self.oof in {NO_FILE, self.test}:
            raise ValueError(f"oof {self.oof}: name a file of predictions of train images, and another one for test")
        return self
