"""The `contest` section: what a person brings, and in which words."""

from typing import Literal, Self

from pydantic import Field, model_validator

from podium.core.params import Section
from podium.core.placeholders import NO_FILE, FileOrNone, FolderOrNone
from podium.scoring.scores import MetricName


class Images(Section):
    """Two folders: with train and test in one, every new test image would retrain everything."""

    train: str = Field(min_length=1)
    test: FolderOrNone


class Columns(Section):
    """Names of the label CSV's columns; null where there is none."""

    id: str = Field("image_id", min_length=1)
    label: str = Field("label", min_length=1)
    group: str | None = Field(None, min_length=1)
    fold: str | None = Field(None, min_length=1)


class Submission(Section):
    """How the submission is written where the template does not say.

    Attributes:
        values: the predicted class, or one probability column per class.
        positive: with `probabilities`, the one class whose probability is written, in a single column; null
            writes a column per class.
        header: true, false, or "template" (as the template has it; true where there is none).
        labels: how class names are written: "template" (as the template's own cells, else as given),
            "given" (as in the label CSV), "int" (`1.0` as `1`) or "float" (`1` as `1.0`).
    """

    values: Literal["label", "probabilities"] = "label"
    header: bool | Literal["template"] = "template"
    labels: Literal["template", "given", "int", "float"] = "template"
    positive: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _positive_acts(self) -> Self:
        if self.positive is not None and (self.values, self.labels) != ("probabilities", "template"):
            raise ValueError("positive writes one class's probability: say values: probabilities, and no labels")
        return self


class ContestSettings(Section):
    """A contest: image folders, labels, overrides, and the submission's form.

    Attributes:
        layout: "csv" (labels in a CSV) or "folders" (a train sub-folder per class).
        label_type: "text" takes labels as written; "number" makes `1`, `1.0` and `01` one class.
        metric: what decides, out of fold, between sizes, blends and variants (podium/scoring/scores.py).
            "quadratic_kappa" needs classes that are numbers: it judges how far apart they are.
    """

    images: Images
    layout: Literal["csv", "folders"] = "csv"
    labels: FileOrNone = NO_FILE
    columns: Columns = Columns()
    label_type: Literal["text", "number"] = "text"
    overrides: FileOrNone = "data/contest/overrides.csv"
    template: FileOrNone = NO_FILE
    submission: Submission = Submission()
    metric: MetricName = "accuracy"


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
