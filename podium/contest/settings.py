"""The `contest` section: the contest's files and their form; and the sections under `external`."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from podium.contest.list_settings import ImageLists
from podium.core.params import Section
from podium.core.patterns import pattern_with
from podium.core.placeholders import NO_FILE, FileOrNone, FolderOrNone
from podium.scoring.scores import MetricName


def _as_texts(value: Any) -> Any:
    """Return a list of class names as texts: a class may be called 3."""
    if not isinstance(value, list | tuple):
        return value
    if wrong := [name for name in value if isinstance(name, bool) or not isinstance(name, str | int | float)]:
        raise ValueError(f"write each class as text in quotes, not as {wrong[0]!r}")
    return tuple(map(str, value))


class ImageFolders(Section):
    """The folders of train and of test images; one may be or hold the other if `contest.lists` tells them apart.

    Attributes:
        train: the folder of train images.
        test: the folder of test images; placeholders/empty if the contest has none.
    """

    train: str = Field(min_length=1)
    test: FolderOrNone


class LabelColumns(Section):
    """Names of the label table's columns, null for a column that it does not have; or what stands for them.

    Attributes:
        id: of the images' ids.
        label: of the labels; or a list of columns of 0 and 1: the class is the column that holds 1, or with
            `task: labels` the labels are all columns that do.
        group: of groups; images of one group come into one fold.
        fold: of your own folds.
        separator: between the labels in a cell, with `task: labels` and one column.
        case: column, or list of columns, that several images of one case share; they are predicted by their mean. If it
            is the column of ids, an id names the folder of a case's images.
        pattern: with `layout: names`, a regular expression with a group `label`, and perhaps `group`, `fold` and
            `case`, that is looked for in each train image's path.
        classes: label -> class, to give several labels one class; other labels keep their names.
    """

    id: str = Field("image_id", min_length=1)
    label: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=2)] = "label"
    group: str | None = Field(None, min_length=1)
    fold: str | None = Field(None, min_length=1)
    case: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    pattern: Annotated[str, pattern_with("label")] | None = None
    separator: str | None = Field(None, min_length=1)
    classes: dict[str, str] = Field(default_factory=dict)

    @field_validator("classes", mode="before")
    @classmethod
    def _accept_numbers(cls, value: Any) -> Any:
        """YAML reads 1 as a number, and a label is text."""
        if not isinstance(value, dict):
            return value
        if wrong := [pair for pair in value.items() if any(isinstance(name, bool) for name in pair)]:
            raise ValueError(
                f'write both names in quotes, e.g. {{"yes": "1"}}, not {wrong[0]}: YAML reads yes, no, on and off as'
                " booleans"
            )
        return {str(old): str(new) for old, new in value.items()}

    @property
    def label_name(self) -> str:
        """Return the header of a column of labels, where no template has one."""
        return self.label if isinstance(self.label, str) else "label"


class SubmissionSettings(Section):
    """The form of the submission, where the template does not decide it.

    Attributes:
        values: "label" writes the predicted class, "labels" the predicted set of labels, "probabilities" one column per
            class, "number" the expected value of classes that are numbers.
        positive: with `probabilities`, the one class whose probability is written, in a single column; null
            writes a column per class.
        header: true, false, or "template" (as in the template; true without a template).
        labels: how class names are written: "template" (as in the template's cells, else as given),
            "given" (as in the label CSV), "int" (`1.0` as `1`) or "float" (`1` as `1.0`).
        top: with `label`, the number of labels to write in a cell, the most probable first.
        separator: between labels in a cell, with `top` or `labels`.
        id, value: names of the template's columns of ids and of values; all others are copied. Null: ids come first,
            or after an index column, and values after them. Without a template: the header.
        class_column: name of the column with the class of each row, in a template with a row per image and class.
        id_pattern: a regular expression for ids that hold more than the image's id: its group `id` is the image's, its
            group `class` the class of the row.
        names: class -> how the submission writes it, in a cell or as a column's name, where that differs from `labels`.
        absent: columns of the submission that no train image belongs to; their probability is 0.
    """

    values: Literal["label", "labels", "probabilities", "number"] = "label"
    header: bool | Literal["template"] = "template"
    labels: Literal["template", "given", "int", "float"] = "template"
    positive: str | None = Field(None, min_length=1)
    top: int = Field(1, ge=1)
    separator: str = Field(" ", min_length=1)
    id: str | None = Field(None, min_length=1)
    value: str | None = Field(None, min_length=1)
    class_column: str | None = Field(None, min_length=1)
    id_pattern: Annotated[str, pattern_with("id")] | None = None
    names: dict[str, str] = Field(default_factory=dict)
    absent: tuple[str, ...] = ()

    _absent_as_texts = field_validator("absent", mode="before")(_as_texts)

    @field_validator("names", mode="before")
    @classmethod
    def _require_different_texts(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if wrong := [pair for pair in value.items() if not all(isinstance(text, str) and text for text in pair)]:
            raise ValueError(
                f'write both names in quotes, e.g. {{"FALSE": "False"}}, not {wrong[0]}: YAML reads FALSE as a boolean'
            )
        if len(set(value.values())) < len(value):
            raise ValueError(f"gives two classes one name: {list(value.values())}; name each class differently")
        return value

    @model_validator(mode="after")
    def _refuse_positive_without_effect(self) -> Self:
        if self.positive is not None and (self.values, self.labels) != ("probabilities", "template"):
            raise ValueError("positive writes one class's probability: say values: probabilities, and remove labels")
        return self

    @model_validator(mode="after")
    def _refuse_spelling_of_numbers(self) -> Self:
        given = "labels" if self.labels != "template" else "names" if self.names else ""
        if self.values == "number" and given:
            raise ValueError(f"{given} has no effect with values: number, which writes no class; remove it")
        return self

    @property
    def has_several_labels(self) -> bool:
        """Say whether a cell holds several labels, with `separator` between them."""
        return self.top > 1 or self.values == "labels"

    @model_validator(mode="after")
    def _refuse_top_without_effect(self) -> Self:
        if self.top > 1 and self.values != "label":
            raise ValueError(f"top {self.top} writes labels: say values: label")
        if "separator" in self.model_fields_set and self.top == 1 and self.values != "labels":
            raise ValueError("separator has no effect with top 1; remove it")
        return self


class ContestSettings(Section):
    """A contest: image folders, labels, overrides, metric and the submission's form.

    Attributes:
        task: "classes" where an image has one class, "labels" where it has a set of labels: none, one or several.
        labels: the table of labels; placeholders/none.csv if the layout needs none.
        overrides: a table of your corrections of labels (docs/contest.md); it may be missing.
        template: the contest's sample submission, or placeholders/none.csv.
        layout: "csv" (labels in a table: CSV, JSON, COCO), "folders" (one sub-folder of images.train per class) or
            "names" (labels in the images' names: columns.pattern).
        label_type: "text" reads labels as written; with "number", `1`, `1.0` and `01` are one class.
        max_missing: share of the labels, 0 to 1, that may lack an image or have an unreadable one; more stop the run.
        whole_labels: labels that are one class although they look like several, e.g. `rust scab` beside `rust` and
            `scab`.
        metric: the contest's metric (podium/scoring/scores.py). Its out-of-fold score decides between image sizes,
            blends and variants. "quadratic_kappa" needs classes that are numbers, because it scores their distance.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("max_missing", "whole_labels", "task")  # dvc.yaml does not name these keys

    images: ImageFolders
    lists: ImageLists = ImageLists()
    task: Literal["classes", "labels"] = "classes"
    layout: Literal["csv", "folders", "names"] = "csv"
    labels: FileOrNone = NO_FILE
    columns: LabelColumns = LabelColumns()
    label_type: Literal["text", "number"] = "text"
    overrides: FileOrNone = "data/contest/overrides.csv"
    template: FileOrNone = NO_FILE
    submission: SubmissionSettings = SubmissionSettings()
    metric: MetricName = "accuracy"
    max_missing: float = Field(0.5, ge=0, le=1)
    whole_labels: tuple[str, ...] = ()

    _whole_labels_as_texts = field_validator("whole_labels", mode="before")(_as_texts)

    @model_validator(mode="after")
    def _refuse_case_without_effect(self) -> Self:
        if self.columns.case is not None and self.layout != "csv":
            raise ValueError(
                f"columns.case has no effect with layout: {self.layout}; give columns.pattern a group case"
            )
        return self

    @model_validator(mode="after")
    def _refuse_whole_labels_without_effect(self) -> Self:
        if self.whole_labels and self.layout != "csv":
            raise ValueError(f"whole_labels has no effect with layout: {self.layout}; remove it")
        return self

    @model_validator(mode="after")
    def _refuse_what_does_not_fit_the_task(self) -> Self:
        columns, form = self.columns, self.submission
        if self.task == "classes":
            if columns.separator is not None or form.values == "labels":
                key = "columns.separator" if columns.separator is not None else "submission.values: labels"
                raise ValueError(f"{key} is for images with several labels: say task: labels, or remove it")
            return self
        if self.layout != "csv":
            raise ValueError(f"task: labels needs layout: csv, not {self.layout}: a folder or a name is one class")
        if isinstance(columns.label, str) == (columns.separator is None):
            raise ValueError(
                "task: labels needs columns.label, columns of 0 and 1; or one column, and in columns.separator"
                ' what stands between the labels of a cell, e.g. " "'
            )
        if self.whole_labels:
            raise ValueError("whole_labels has no effect with task: labels; remove it")
        if form.positive is not None or form.values not in ("labels", "probabilities"):
            raise ValueError(
                "submission: with task: labels say values: labels (a cell with all predicted labels) or values:"
                " probabilities (a column per label), and no positive"
            )
        return self


class ExternalColumns(Section):
    """Names of the columns besides those of the classes.

    Attributes:
        id: of the images' ids.
        fold: of the folds that held the images out; null if there is none.
    """

    id: str = Field("image_id", min_length=1)
    fold: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _refuse_one_name_for_two(self) -> Self:
        if self.id == self.fold:
            raise ValueError(f"{self.id!r} is named as the id and as the fold; name two columns")
        return self


class ExternalSettings(Section):
    """One set of predictions made elsewhere: CSVs with an image id and one probability column per class.

    Attributes:
        oof: out-of-fold predictions of the train images: each by a model that was not trained on the image or on
            others of its group.
        test: predictions of the test images; the placeholder if the contest has none.
        columns: `fold` is a column of `oof` only: the fold that held the image out; it is checked against our folds.
    """

    oof: str = Field(min_length=1)
    test: FileOrNone
    columns: ExternalColumns = ExternalColumns()

    @model_validator(mode="after")
    def _two_files(self) -> Self:
        if self.oof in {NO_FILE, self.test}:
            raise ValueError(
                f"oof {self.oof}: name a file of predictions of the train images, and another file for test"
            )
        return self
