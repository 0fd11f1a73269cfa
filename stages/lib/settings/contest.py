"""The `contest` section: what a person brings, and in which words."""

from typing import Literal, Self

from pydantic import Field, model_validator

from stages.lib.params import Section
from stages.lib.settings.placeholders import NO_FILE, FileOrNone, FolderOrNone

MetricName = Literal[
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "micro_f1",
    "mcc",
    "kappa",
    "quadratic_kappa",
    "log_loss",
    "roc_auc",
    "average_precision",
]


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
        metric: what decides, out of fold, between sizes, blends and variants (stages/lib/scores.py).
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
