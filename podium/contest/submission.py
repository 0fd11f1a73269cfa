"""Write a submission in the contest's form: with the rows and columns of its template, or of the settings.

A template has one of these forms: image ids only, with or without a header; id and label; id and the probability of
one class; id and one probability column per class, named in the header; a row per image and class. Its ids may lack the
file's ending or folder, or stand for several images (podium.contest.template_form); the submission has them as the
template writes them. Columns that hold neither ids nor values are copied.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.contest import class_names, lookalikes, template_form
from podium.contest.ids import as_number, number_text
from podium.contest.settings import SubmissionSettings
from podium.contest.template_form import RowMeaning, RowReader, TemplateColumns
from podium.core import tables, targets
from podium.core.errors import InputError, some
from podium.core.placeholders import is_none

Header = bool | Literal["template"]
ABSENT = ""  # in place of the class of a column that no train image belongs to

_MISSING = (
    "or add the image. For an image that the contest itself lacks, put an empty file of its name into"
    " contest.images.test: its row gets the class shares of the train images, or the most frequent class"
)

_PLAIN = SubmissionSettings()
_BY_NAME: Mapping[str, Sequence[str]] = {}  # ids are names of files


@dataclass(frozen=True)
class Template:
    """A submission template, and what it decides.

    Attributes:
        path: of the file, for messages.
        ids: one per row, as written, in the template's order.
        rows: the test images, and the class in a long template, that each of `ids` means.
        cells: all cells of these rows.
        columns: positions of ids and values.
        header: its cells; None if the first row is an image.
        class_columns: names of the probability columns; () if the template has at most one column of values.
        is_long: it has a row per image and class.
        label_cells: the distinct labels in its rows; () if it has no label column.
        messages: to print for the user.
    """

    path: Path
    ids: tuple[str, ...]
    rows: tuple[RowMeaning, ...]
    cells: tuple[tuple[str, ...], ...]
    columns: TemplateColumns
    header: tuple[str, ...] | None
    class_columns: tuple[str, ...]
    label_cells: tuple[str, ...]
    is_long: bool
    messages: tuple[str, ...]

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Return the test images of all rows."""
        return tuple(image_id for row in self.rows for image_id in row.images)

    @property
    def named_classes(self) -> tuple[str, ...]:
        """Return the classes that its columns, or the rows of a long template, name."""
        return tuple(dict.fromkeys(row.class_text for row in self.rows)) if self.is_long else self.class_columns


def read_template(
    path: Path,
    test_ids: Sequence[str],
    classes: Sequence[str] | None = None,
    settings: SubmissionSettings = _PLAIN,
    by_id: Mapping[str, Sequence[str]] = _BY_NAME,
    *,
    others: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    absent: Sequence[str] = (),
    folder: str = "",
) -> Template | None:
    """Read a submission template; return None for the placeholder.

    The first row is a header if the settings name the column of ids; otherwise unless its id is that of a test image.

    Args:
        path: of the template.
        test_ids: image_ids of the test images, unreadable ones too.
        classes: the labels' classes; None if they are not known yet: then class columns are not checked.
        settings: which columns hold what.
        by_id: id -> its test images, where ids are no names of files.
        others: files of the test folder that are no images; a row may name one, and it is left out otherwise.
        names: contest.submission.names.
        absent: contest.submission.absent.
        folder: name of the folder of test images; an id may begin with it.

    Raises:
        InputError: a row's id means no test image, or several, or may leave the folder; two rows mean the same image;
            there is no row; probability columns have no header or are not the classes.
    """
    if is_none(path):
        return None
    cells = tables.read_text_csv(path, header=False)
    reader = RowReader(test_ids, by_id, settings.id_pattern, others, folder)
    position = template_form.id_position(cells, reader, settings, path)
    header = _header(cells, position, reader, test_ids, path) if settings.id is None else tuple(map(str, cells.iloc[0]))
    rows, width = cells if header is None else cells.iloc[1:], cells.shape[1]
    columns = template_form.columns(header, width, position, settings, path)
    meanings = _meanings(rows, columns, reader, path)
    if len(columns.values) > 1 and header is None:
        raise InputError(f"{path}: {width} columns and no header: add a first row that names the class of each column")
    template = _template(path, header, rows, columns, settings=settings, meanings=meanings)
    template = replace(template, messages=_messages(header, template.image_ids, test_ids, template))
    if template.is_long and len(columns.values) != 1:
        raise InputError(
            f"{path}: has a row per image and class, so it needs one column of values, see contest.submission.value"
        )
    if classes is not None and template.is_long:
        _row_classes(template, classes, names or {}, absent)
    if classes is not None and template.class_columns:
        _columns_by_class(template, classes, names or {}, absent)
    return template


def _template(
    path: Path,
    header: tuple[str, ...] | None,
    rows: pd.DataFrame,
    columns: TemplateColumns,
    *,
    settings: SubmissionSettings,
    meanings: tuple[RowMeaning, ...],
) -> Template:
    """Put a template together; it has no messages yet."""
    long = template_form.is_long(settings)
    return Template(
        path=path,
        ids=tuple(rows[columns.id]),
        rows=meanings,
        cells=tuple(tuple(row) for row in rows.to_numpy(str)),
        columns=columns,
        header=header,
        class_columns=tuple(header[at] for at in columns.values) if header and len(columns.values) > 1 else (),
        label_cells=() if long or len(columns.values) != 1 else _labels(rows[columns.values[0]], settings),
        is_long=long,
        messages=(),
    )


def _without_images(path: Path, settings: SubmissionSettings) -> Template | None:
    """Read a template while no test image is known: its first row counts as a header, so that its cell is no label."""
    if is_none(path):
        return None
    cells = tables.read_text_csv(path, header=False)
    header, rows = tuple(map(str, cells.iloc[0])), cells.iloc[1:]
    position = template_form.id_position(cells, None, settings, path)
    columns = template_form.columns(header, cells.shape[1], position, settings, path)
    texts = template_form.class_texts(rows, columns, settings)
    meanings = tuple(RowMeaning((), text) for text in texts)
    return _template(path, header, rows, columns, settings=settings, meanings=meanings)


def check_classes(
    path: Path,
    classes: Sequence[str],
    *,
    labels: str,
    values: str,
    positive: str | None,
    names: Mapping[str, str],
    absent: Sequence[str],
    id_column: str,
    settings: SubmissionSettings = _PLAIN,
) -> list[str]:
    """Check a template and the submission's settings against the classes of the used images.

    No test image is needed: the first row counts as a header, so that its cell is no label.

    Args:
        path: of the template.
        classes: of the images that are trained on.
        labels, values, positive, names, absent: of contest.submission.
        id_column: header of the ids without a template.
        settings: contest.submission, for the form of the template.

    Returns:
        warnings.

    Raises:
        InputError: a class column is no class; a class of the settings has no images.
    """
    template = _without_images(path, settings)
    if positive is not None:
        _positive_class(positive, classes)
    if values == "number":
        _numbers(classes)
    columns = template.named_classes if template is not None else ()
    has_columns = bool(columns) or (values == "probabilities" and positive is None)
    class_names.refuse_wrong_settings(classes, names, absent, columns if has_columns else None)
    if template is not None and template.is_long:
        _row_classes(template, classes, names, absent)
        return []
    if template is not None and template.class_columns:
        _columns_by_class(template, classes, names, absent)
        return []
    written = list(spellings(classes, labels, template, names).values())
    if template is None and values == "probabilities" and positive is None and id_column in {*written, *absent}:
        raise InputError(
            f"params.yaml: contest.submission: two columns would be called {id_column!r}, that of the ids and that of a"
            f" class; name the class's, e.g. names: {class_names.as_yaml({id_column: f'class {id_column}'})}, or give a"
            " template"
        )
    if template is None or values not in ("label", "labels") or labels != "template":
        return []
    return class_names.unknown_cells(path, template.label_cells, dict(zip(classes, written, strict=True)))


def check(
    path: Path,
    test_ids: Sequence[str],
    *,
    classes: Sequence[str] | None,
    values: str | None,
    labels: str,
    positive: str | None,
    others: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    absent: Sequence[str] = (),
    id_column: str = "image_id",
    settings: SubmissionSettings = _PLAIN,
    by_id: Mapping[str, Sequence[str]] = _BY_NAME,
    folder: str = "",
) -> Template | None:
    """Check a template and the submission's settings against each other, before anything is trained.

    Args:
        path: of the template.
        test_ids: image_ids of the test images.
        classes: as `read_template`.
        values: contest.submission.values if the user set it, else None.
        labels: contest.submission.labels.
        positive: contest.submission.positive.
        settings: contest.submission.
        by_id: as `read_template`.
        others, names, absent, folder: as `read_template`.
        id_column: as `write`.

    Returns:
        the template.

    Raises:
        InputError: as `read_template` and, for its settings, as `write`.
    """
    template = read_template(
        path, test_ids, classes, settings, by_id, others=others, names=names, absent=absent, folder=folder
    )
    if (
        template is not None
        and (template.class_columns or template.is_long)
        and values in ("label", "labels", "number")
    ):
        raise InputError(
            f"params.yaml: contest.submission.values: {values} has no effect: {path} has a probability"
            f" {'row' if template.is_long else 'column'} per class; say probabilities"
        )
    if template is None and (ignored := settings.model_fields_set & {"class_column", "id_pattern"}):
        raise InputError(f"params.yaml: contest.submission.{min(ignored)}: has no effect without a template; remove it")
    if template is not None:
        _refuse_contradictions(template, values or "label", labels, positive)
    warnings = []
    if classes is not None:
        warnings = check_classes(
            path,
            classes,
            labels=labels,
            values=values or "label",
            positive=positive,
            names=names or {},
            absent=absent,
            id_column=id_column,
            settings=settings,
        )
    spelled = spellings(classes or (), labels, template, names or {})
    _refuse_copied_classes(template, {*spelled, *spelled.values()})
    _refuse_separator_in_labels(spelled.values(), settings)
    return template and replace(template, messages=(*template.messages, *(f"WARNING: {text}" for text in warnings)))


def write(
    path: Path,
    *,
    test_probs: pd.DataFrame,
    prior: Mapping[str, float],
    template: Template | None,
    test_ids: Sequence[str],
    id_column: str,
    label_column: str,
    values: str,
    header: Header,
    labels: str,
    positive: str | None,
    others: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    absent: Sequence[str] = (),
    settings: SubmissionSettings = _PLAIN,
    by_id: Mapping[str, Sequence[str]] = _BY_NAME,
    fewest_labels: int | None = None,
) -> list[str]:
    """Write a submission: the template's rows in its order, or every test image (or every id), sorted by id.

    Where an id stands for several images, the mean of the probabilities of those with a prediction counts.

    Another test image without a prediction (an unreadable one) gets the training prior: the most frequent class, or the
    class frequencies as probabilities. Ties go to the class with the first column.

    Args:
        path: of the submission.
        test_probs: (images, 1 + classes) image_id and one column `p:<class>` per class, >= 0, no row all 0.
        prior: class -> share of the training images.
        template: of `read_template`.
        test_ids: image_ids of the test images, unreadable ones too.
        id_column: the header's name for ids, if the template has none.
        label_column: the header's name for labels, if the template has none.
        values: "label" or "probabilities", if the template does not decide it.
        header: true, false, or "template".
        labels: how class names are written: "template", "given", "int" or "float".
        positive: write only this class's probability, in one column; None for a column per class.
        others: files of the test folder that are no images; they get a row only if the template names them.
        names: class -> how it is written, whatever `labels` says.
        absent: columns of probability 0.
        settings: contest.submission, for how many labels are in a cell, and the header.
        by_id: as `read_template`.
        fewest_labels: of sets of labels, how many an image has at least; None where an image has one class.

    Returns:
        messages to print for the user.

    Raises:
        InputError: a setting contradicts the template, or a class cannot be written in the form of `labels`.
        ValueError: predictions are of other images or classes, repeated, negative or not finite.
    """
    if template is not None:
        _refuse_contradictions(template, values, labels, positive)
    test_ids = [*test_ids, *sorted(set(others).intersection(template.image_ids if template else ()))]
    probs = _complete(test_probs, prior, test_ids, fewest_labels is not None)
    spelled = spellings(list(probs.columns), labels, template, names or {})
    if positive is None:
        columns = _value_columns(spelled, values, template, names or {}, absent)
        written = list(columns.values())
    else:  # one column, named as a label column would be
        columns, written = {}, [_positive_class(positive, list(spelled))]
    asked = _asked(template, test_ids, template_form.images_by_id(by_id, test_ids))
    readable = set(test_probs["image_id"])
    averaged = [tuple(image for image in images if image in readable) or images for _, images in asked]
    row_probs = _of_rows(probs, averaged)
    missing = sorted({image for images in averaged for image in images} - readable)
    messages = []
    if missing:
        messages = [f"{len(missing)} test images have no prediction and get the training prior: {some(missing)}"]
    if template is not None and template.is_long:
        cells = _long_cells(row_probs, template, names or {}, absent)
    elif values == "number":
        cells = [[repr(float(x))] for x in row_probs.to_numpy() @ _numbers(list(spelled))]
    else:
        cells = _cells(row_probs, spelled, written, settings, fewest_labels or 0)
    if template is not None:
        rows = [_filled(row, template.columns, new) for row, new in zip(template.cells, cells, strict=True)]
    else:
        rows = [[row_id, *new] for (row_id, _), new in zip(asked, cells, strict=True)]
    if _has_header(header, template):
        own = (settings.id or id_column, settings.value or label_column)
        rows.insert(0, _header_row(template, *own, list(columns)))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    tables.write_text(text.getvalue(), path)
    validate(
        path,
        template=template,
        test_ids=[row_id for row_id, _ in asked],
        header=header,
        may_be_empty=values == "labels" and not fewest_labels,
    )
    if formulas := tables.formulas(dict.fromkeys(cell for row in rows for cell in row)):
        messages.append(
            f"WARNING: cells of {path.name} start like a formula: {some(formulas)}; they stay as the contest wants"
            " them: import the file into a spreadsheet as text"
        )
    distinct = {row[0] for row in cells}
    holds_labels = not written and values == "label" and not (template is not None and template.is_long)
    if holds_labels and len(distinct) == 1 < len(cells):
        messages.append(
            f"WARNING: all {len(cells)} rows predict {distinct.pop()!r}; the most frequent class has"
            f" {max(prior.values()):.2f} of the train images"
        )
    return [*(template.messages if template else ()), *messages]


def validate(
    path: Path, *, template: Template | None, test_ids: Sequence[str], header: Header, may_be_empty: bool = False
) -> None:
    """Check that a submission has the template's ids (or all test images), each once, in order, and no empty cell.

    A set of labels `may_be_empty`.

    Raises:
        InputError: names the first row that is wrong.
    """
    expected = list(template.ids) if template else sorted(test_ids)
    has_header = _has_header(header, template)
    if not expected and not has_header:
        return
    cells = tables.read_text_csv(path, header=False)
    id_column = template.columns.id if template else 0
    ids = list(cells[id_column])[int(has_header) :]
    for position, (written, wanted) in enumerate(zip(ids, expected, strict=False)):
        if written != wanted:
            raise InputError(f"{path}: row {position + 1 + has_header} is {written!r}, must be {wanted!r}")
    if len(ids) != len(expected):
        raise InputError(f"{path}: {len(ids)} rows, must be {len(expected)}")
    values = list((template.columns.values if template else ()) or range(id_column + 1, cells.shape[1]))
    is_lacking = not values or max(values) >= cells.shape[1]
    if is_lacking or (not may_be_empty and (cells.iloc[int(has_header) :, values] == "").to_numpy().any()):
        raise InputError(f"{path}: a row has no prediction")


def _header(
    cells: pd.DataFrame, position: int, reader: RowReader, test_ids: Sequence[str], path: Path
) -> tuple[str, ...] | None:
    """Return the first row if it is a header, else None."""
    first = str(cells.iloc[0, position])
    if first.strip() and reader.read(first, f"{path}: row 1").images:
        return None
    ending = PurePosixPath(first).suffix
    if ending and ending in {PurePosixPath(image_id).suffix for image_id in test_ids}:
        raise InputError(f"{path}: row 1: {first!r} is neither a test image nor a header; correct it, {_MISSING}")
    return tuple(str(cell) for cell in cells.iloc[0])


def _meanings(rows: pd.DataFrame, columns: TemplateColumns, reader: RowReader, path: Path) -> tuple[RowMeaning, ...]:
    """Return what each row (index: position in the file) asks for; refuse rows that ask for the same."""
    written = rows[columns.id]
    if written.empty:
        raise InputError(f"{path}: has a header and no rows; add a row per test image, or use no template")
    found = [reader.read(text, f"{path}: row {position + 1}") for position, text in written.items()]
    if columns.row_class is not None:
        found = [row._replace(class_text=text) for row, text in zip(found, rows[columns.row_class], strict=True)]
    pairs = list(zip(written.items(), found, strict=True))
    if unfit := [f"row {p + 1} {text!r}" for (p, text), _ in pairs if not reader.fits(text)]:
        raise InputError(f"{path}: contest.submission.id_pattern does not fit {some(unfit)}; correct it or these rows")
    if unknown := [f"row {p + 1} {text!r}" for (p, text), row in pairs if not row.images]:
        raise InputError(f"{path}: no such test image: {some(unknown)}; correct contest.images.test, {_MISSING}")
    if (repeated := pd.Series(found, index=written.index, dtype="object").duplicated(keep=False)).any():
        named = [f"row {position + 1} {text!r}" for position, text in written[repeated].items()]
        raise InputError(f"{path}: several rows for one test image: {some(named)}; keep one of them")
    return tuple(found)


def _labels(cells: pd.Series, settings: SubmissionSettings) -> tuple[str, ...]:
    """Return the distinct labels in a column of labels."""
    if not settings.has_several_labels:
        return tuple(cells.unique())
    return tuple(dict.fromkeys(label for cell in cells.unique() for label in cell.split(settings.separator)))


def _messages(
    header: tuple[str, ...] | None, image_ids: Sequence[str], test_ids: Sequence[str], template: Template
) -> tuple[str, ...]:
    form = "no header" if header is None else f"header {','.join(header)}"
    messages = [f"template {template.path.name}: {form}, {len(template.ids)} rows"]
    if copied := [name for at, name in enumerate(header or ()) if at not in _read(template.columns)]:
        messages.append(f"columns of the template that are copied: {', '.join(map(repr, copied))}")
    if left_out := sorted(set(test_ids).difference(image_ids)):
        messages.append(
            f"{len(left_out)} test images are not in the template and not in the submission: {some(left_out)}"
        )
    return tuple(messages)


def _read(columns: TemplateColumns) -> tuple[int | None, ...]:
    return (columns.id, *columns.values, columns.row_class)


def _asked(
    template: Template | None, test_ids: Sequence[str], by_id: Mapping[str, Sequence[str]]
) -> list[tuple[str, tuple[str, ...]]]:
    """Return each row's id and test images."""
    if template is not None:
        return [(row_id, row.images) for row_id, row in zip(template.ids, template.rows, strict=True)]
    if by_id:
        return [(row_id, tuple(images)) for row_id, images in sorted(by_id.items())]
    return [(image_id, (image_id,)) for image_id in sorted(test_ids)]


def _of_rows(probs: pd.DataFrame, images: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Return the mean probabilities (rows, classes) of each row's images."""
    if not images:
        return probs.iloc[:0]
    sizes = np.array([len(some_images) for some_images in images])
    places = probs.index.get_indexer([image_id for some_images in images for image_id in some_images])
    sums = np.add.reduceat(probs.to_numpy()[places], np.append(0, sizes.cumsum()[:-1]), axis=0)
    return pd.DataFrame(sums / sizes[:, None], columns=probs.columns)


def _filled(row: Sequence[str], columns: TemplateColumns, new: Sequence[str]) -> list[str]:
    """Return a template's row with new values; they follow the id in a template of ids alone."""
    if not columns.values:
        return [*row, *new]
    filled = list(row)
    for position, value in zip(columns.values, new, strict=True):
        filled[position] = value
    return filled


def _long_cells(
    probs: pd.DataFrame, template: Template, names: Mapping[str, str], absent: Sequence[str]
) -> list[list[str]]:
    """Return the probability of each row's class."""
    known = _row_classes(template, list(probs.columns), names, absent)
    with_absent = probs.assign(**{ABSENT: 0.0})
    places = with_absent.columns.get_indexer([known[row.class_text] for row in template.rows])
    return [[repr(float(p))] for p in with_absent.to_numpy()[np.arange(len(probs)), places]]


def _row_classes(
    template: Template, classes: Sequence[str], names: Mapping[str, str], absent: Sequence[str]
) -> dict[str, str]:
    """Return {a class as a long template writes it: class or ABSENT}; names match as text or as numbers."""
    matches = _matches(template.named_classes, classes, names, absent)
    if unknown := [text for text, name in matches.items() if name is None]:
        missing = sorted(set(classes).difference(name for name in matches.values() if name is not None))
        raise InputError(
            f"{template.path}: rows of {some(unknown)}, which is no class of the labels: {some(list(classes), 20)};"
            " correct contest.submission.class_column or contest.submission.id_pattern"
            f"{class_names.remedy(missing, unknown)}"
        )
    return {text: name for text, name in matches.items() if name is not None}


def _matches(
    texts: Iterable[str], classes: Sequence[str], names: Mapping[str, str], absent: Sequence[str]
) -> dict[str, str | None]:
    """Return {text: its class, ABSENT, or None if it is no class}; names match as text or as numbers."""
    written = {names.get(name, name): name for name in classes} | dict.fromkeys(absent, ABSENT)
    numbers = {as_number(text): name for text, name in written.items()}
    numbers.pop(None, None)
    return {text: written.get(text, numbers.get(as_number(text))) for text in texts}


def _numbers(classes: Sequence[str]) -> NDArray[np.float64]:
    """Return the numbers that the classes are."""
    numbers = [as_number(name) for name in classes]
    if unknown := [name for name, number in zip(classes, numbers, strict=True) if number is None]:
        raise InputError(
            f"params.yaml: contest.submission.values: number needs classes that are numbers, not {some(unknown)}"
        )
    return np.array([float(number) for number in numbers if number is not None])


def _refuse_copied_classes(template: Template | None, names: set[str]) -> None:
    """Refuse a template with columns of classes that would be copied, e.g. because they stand before the ids."""
    if template is None or template.is_long:
        return
    taken = _read(template.columns)
    if copied := [name for at, name in enumerate(template.header or ()) if at not in taken and name in names]:
        raise InputError(
            f"{template.path}: columns {copied} have names of classes, but would be copied unchanged: predictions go"
            " into the columns after the ids, or into contest.submission.value; move the column of ids to the front"
        )


def _refuse_separator_in_labels(labels: Iterable[str], settings: SubmissionSettings) -> None:
    if settings.has_several_labels and (wrong := [label for label in labels if settings.separator in label]):
        raise InputError(
            f"params.yaml: contest.submission.separator: {settings.separator!r} is also in the labels {some(wrong)};"
            " choose another one"
        )


def _columns_by_class(
    template: Template, classes: Sequence[str], names: Mapping[str, str], absent: Sequence[str]
) -> dict[str, str]:
    """Return {the template's column: class or ABSENT} in the template's order; names match as text or as numbers."""
    columns = template.class_columns
    matches = _matches(columns, classes, names, absent)
    known = {column: name for column, name in matches.items() if name is not None}
    missing = sorted(set(classes).difference(known.values()))
    unknown = [column for column in columns if column not in known]
    taken = [name for name in known.values() if name != ABSENT]
    if missing or unknown or len(known) < len(columns) or len(set(taken)) < len(taken):
        raise InputError(
            f"{template.path}: its columns must be the classes, each once: no column for {missing}, no class for"
            f" {unknown}, columns {list(columns)}{class_names.remedy(missing, unknown)}"
            f"{'' if taken else '. If one of them alone holds values, name it in contest.submission.value'}"
        )
    return known


def _positive_class(positive: str, classes: Sequence[str]) -> str:
    """Return the class that equals `positive`, as text or as a number."""
    number = as_number(positive)
    matches = [name for name in classes if name == positive or (number is not None and as_number(name) == number)]
    if len(matches) != 1:
        raise InputError(
            f"params.yaml: contest.submission.positive: {positive!r} is none of the classes {some(list(classes))}"
            f"{lookalikes.hint(positive, classes)}: name one of them. If its images are missing, unreadable or dropped"
            " by overrides, add images or remove those overrides"
        )
    return matches[0]


def _refuse_contradictions(template: Template, values: str, labels: str, positive: str | None) -> None:
    """Refuse settings that contradict the template."""
    if template.class_columns and positive is not None:
        raise InputError(
            f"params.yaml: contest.submission.positive: {positive} has no effect: {template.path} has a probability"
            " column per class; say null"
        )
    if template.class_columns and labels != "template":
        raise InputError(
            f"params.yaml: contest.submission.labels: {labels} has no effect: {template.path} names the class columns;"
            " say template"
        )
    if template.is_long:
        if positive is not None or labels != "template":
            raise InputError(
                f"params.yaml: contest.submission.{'positive' if positive is not None else 'labels'}: has no effect:"
                f" {template.path} has a row per image and class; remove it"
            )
        return
    if template.label_cells and values == "probabilities" and positive is None:
        raise InputError(
            f"params.yaml: contest.submission.values: probabilities do not fit {template.path}, which has one column"
            " after the id; say label, or name the class of that column in contest.submission.positive"
        )


def _complete(
    test_probs: pd.DataFrame, prior: Mapping[str, float], test_ids: Sequence[str], sets: bool
) -> pd.DataFrame:
    """Return probabilities (test images, classes), indexed by image_id, rows summing to 1 but of sets of labels.

    Images without a prediction get the prior.
    """
    classes = tables.class_names(test_probs)
    probs = test_probs.set_index("image_id")[[tables.PROBABILITY + name for name in classes]].astype("float64")
    probs.columns = pd.Index(classes)
    if set(prior) != set(classes) or probs.index.has_duplicates or not set(probs.index) <= set(test_ids):
        raise ValueError("predictions and prior must have the same classes, and at most one row per test image")
    missing = sorted(set(test_ids).difference(probs.index))
    rows = pd.DataFrame([[prior[name] for name in classes]] * len(missing), index=missing, columns=classes)
    probs = pd.concat([probs, rows.astype("float64")]) if missing else probs
    sums = probs.sum(axis=1)
    if not np.isfinite(probs.to_numpy()).all() or (probs < 0).to_numpy().any() or ((sums <= 0).any() and not sets):
        raise ValueError("probabilities must be finite, at least 0, and not all 0 in a row")
    return probs if sets else probs.div(sums, axis=0)


def _value_columns(
    spelled: Mapping[str, str], values: str, template: Template | None, names: Mapping[str, str], absent: Sequence[str]
) -> dict[str, str]:
    """Return {probability column: class or ABSENT}; empty if the submission has a label column."""
    if template is not None and template.class_columns:
        return _columns_by_class(template, list(spelled), names, absent)
    if values != "probabilities" or (template is not None and template.is_long):
        return {}
    return {column: name for name, column in spelled.items()} | dict.fromkeys(absent, ABSENT)


def _probabilities(probs: pd.DataFrame, classes: list[str]) -> list[list[str]]:
    values = probs.assign(**{ABSENT: 0.0})[classes] if ABSENT in classes else probs[classes]
    return [[repr(float(p)) for p in row] for row in values.to_numpy()]


def _cells(
    probs: pd.DataFrame, spelled: Mapping[str, str], classes: list[str], settings: SubmissionSettings, fewest: int
) -> list[list[str]]:
    """Return each row's probabilities of `classes`; if `classes` is empty, its most probable class, or several.

    With `values: labels` they are the predicted set, which has `fewest` labels at least.
    """
    if classes:
        return _probabilities(probs, classes)
    if settings.values == "labels":
        all_names = np.array([spelled[name] for name in probs.columns])
        found = targets.predicted_sets(probs.to_numpy(), fewest)
        return [[settings.separator.join(all_names[row])] for row in found]
    if settings.top > 1:
        names = np.array([spelled[name] for name in probs.columns])
        best = np.argsort(-probs.to_numpy(), axis=1, kind="stable")[:, : settings.top]
        return [[settings.separator.join(row)] for row in names[best]]
    return [[spelled[name]] for name in probs.idxmax(axis=1)] if len(probs) else []


def spellings(
    classes: Sequence[str], labels: str, template: Template | None, names: Mapping[str, str]
) -> dict[str, str]:
    """Return {class: its spelling in the submission}."""
    style = labels
    if labels == "template":
        style = _template_style(classes, template.label_cells if template else ())
    return {
        name: names[name] if name in names else name if style == "given" else _number_style(name, style)
        for name in classes
    }


def _template_style(classes: Sequence[str], cells: Sequence[str]) -> str:
    """Return "int" or "float" if classes and cells are numbers and all cells have that form; else "given"."""
    numbers = [as_number(name) for name in classes]
    if not cells or any(as_number(text) is None for text in [*cells, *classes]) or set(cells) & set(classes):
        return "given"
    if not any("." in text or "e" in text.lower() for text in cells):
        return "int" if all(number == int(number) for number in numbers if number is not None) else "given"
    return "float" if all("." in text for text in cells) else "given"


def _number_style(name: str, style: str) -> str:
    number = as_number(name)
    if number is None or (style == "int" and number != number.to_integral_value()):
        raise InputError(
            f"params.yaml: contest.submission.labels: {style}: class {name!r} cannot be written in that form; say given"
        )
    text = number_text(number)
    return f"{text}.0" if style == "float" and Decimal(text) == int(Decimal(text)) else text


def _has_header(header: Header, template: Template | None) -> bool:
    return (template is None or template.header is not None) if header == "template" else bool(header)


def _header_row(template: Template | None, id_column: str, label_column: str, class_columns: list[str]) -> list[str]:
    """Return the column names of the template if it has any, else of the settings."""
    names = template.header if template is not None and template.header is not None else ()
    values = class_columns or [label_column]
    if template is not None and names:
        return list(names) if template.columns.values else [*names, *values]
    return [id_column, *values]
