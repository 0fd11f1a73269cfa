"""Write a submission in the contest's form: with the rows and columns of its template, or of the settings.

A template has one of these forms: image ids only, with or without a header; id and label; id and the probability of
one class; id and one probability column per class, named in the header. Its ids may lack the file's ending or folder;
the submission has them as the template writes them.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pandas as pd

from podium.contest import class_names, lookalikes
from podium.contest.ids import ImageIndex, as_number, number_text
from podium.core import tables
from podium.core.errors import InputError, some
from podium.core.placeholders import is_none

Header = bool | Literal["template"]
ABSENT = ""  # in place of the class of a column that no train image belongs to

_MISSING = (
    "or add the image. For an image that the contest itself lacks, put an empty file of its name into"
    " contest.images.test: its row gets the class shares of the train images, or the most frequent class"
)


@dataclass(frozen=True)
class Template:
    """A submission template, and what it decides.

    Attributes:
        path: of the file, for messages.
        ids: one per row, as written, in the template's order.
        image_ids: the test image that each of `ids` means.
        header: its cells; None if the first row is an image.
        class_columns: names of the probability columns; () if the template has at most a label column.
        label_cells: the distinct labels in its rows; () if it has no label column.
        messages: to print for the user.
    """

    path: Path
    ids: tuple[str, ...]
    image_ids: tuple[str, ...]
    header: tuple[str, ...] | None
    class_columns: tuple[str, ...]
    label_cells: tuple[str, ...]
    messages: tuple[str, ...]


def read_template(
    path: Path,
    test_ids: Sequence[str],
    classes: Sequence[str] | None = None,
    *,
    others: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    absent: Sequence[str] = (),
) -> Template | None:
    """Read a submission template; return None for the placeholder.

    The first row is a header unless its first cell is the id of a test image.

    Args:
        path: of the template.
        test_ids: image_ids of the test images, unreadable ones too.
        classes: the labels' classes; None if they are not known yet: then class columns are not checked.
        others: files of the test folder that are no images; a row may name one, and it is left out otherwise.
        names: contest.submission.names.
        absent: contest.submission.absent.

    Raises:
        InputError: a row's id means no test image, or several, or may leave the folder; two rows mean the same image;
            there is no row; probability columns have no header or are not the classes.
    """
    if is_none(path):
        return None
    cells = tables.read_text_csv(path, header=False)
    images = ImageIndex(test_ids, others)
    header = _header(cells, images, test_ids, path)
    rows = cells if header is None else cells.iloc[1:]
    image_ids = _image_ids(rows[0], images, path)
    width = cells.shape[1]
    if width > 2 and header is None:
        raise InputError(f"{path}: {width} columns and no header: add a first row that names the class of each column")
    template = Template(
        path=path,
        ids=tuple(rows[0]),
        image_ids=image_ids,
        header=header,
        class_columns=header[1:] if header is not None and width > 2 else (),
        label_cells=tuple(rows[1].unique()) if width == 2 else (),
        messages=_messages(header, image_ids, test_ids, path),
    )
    if classes is not None and template.class_columns:
        _columns_by_class(template, classes, names or {}, absent)
    return template


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
) -> list[str]:
    """Check a template and the submission's settings against the classes of the used images.

    No test image is needed: the first row counts as a header, so that its cell is no label.

    Args:
        path: of the template.
        classes: of the images that are trained on.
        labels, values, positive, names, absent: of contest.submission.
        id_column: header of the ids without a template.

    Returns:
        warnings.

    Raises:
        InputError: a class column is no class; a class of the settings has no images.
    """
    cells = pd.DataFrame() if is_none(path) else tables.read_text_csv(path, header=False)
    template = Template(
        path=path,
        ids=(),
        image_ids=(),
        header=None,
        class_columns=tuple(map(str, cells.iloc[0, 1:])) if cells.shape[1] > 2 else (),
        label_cells=tuple(cells[1].iloc[1:].unique()) if cells.shape[1] == 2 else (),
        messages=(),
    )
    if positive is not None:
        _positive_class(positive, classes)
    has_columns = bool(template.class_columns) or (values == "probabilities" and positive is None)
    class_names.refuse_wrong_settings(classes, names, absent, template.class_columns if has_columns else None)
    if template.class_columns:
        _columns_by_class(template, classes, names, absent)
        return []
    written = list(spellings(classes, labels, template, names).values())
    if cells.empty and values == "probabilities" and positive is None and id_column in {*written, *absent}:
        raise InputError(
            f"params.yaml: contest.submission: two columns would be called {id_column!r}, that of the ids and that of a"
            f" class; name the class's, e.g. names: {class_names.as_yaml({id_column: f'class {id_column}'})}, or give a"
            " template"
        )
    if values == "probabilities" or labels != "template":
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
) -> Template | None:
    """Check a template and the submission's settings against each other, before anything is trained.

    Args:
        path: of the template.
        test_ids: image_ids of the test images.
        classes: as `read_template`.
        values: contest.submission.values if the user set it, else None.
        labels: contest.submission.labels.
        positive: contest.submission.positive.
        others, names, absent: as `read_template`.
        id_column: as `write`.

    Returns:
        the template.

    Raises:
        InputError: as `read_template` and, for its settings, as `write`.
    """
    template = read_template(path, test_ids, classes, others=others, names=names, absent=absent)
    if template is not None and template.class_columns and values == "label":
        raise InputError(
            f"params.yaml: contest.submission.values: label has no effect: {path} has a probability column per class;"
            " say probabilities"
        )
    if template is not None:
        _refuse_contradictions(template, values or "label", labels, positive)
    if classes is not None:
        check_classes(
            path,
            classes,
            labels=labels,
            values=values or "label",
            positive=positive,
            names=names or {},
            absent=absent,
            id_column=id_column,
        )
    spellings(classes or (), labels, template, names or {})
    return template


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
) -> list[str]:
    """Write a submission: the template's rows in its order, or every test image, sorted by id.

    A test image without a prediction (an unreadable one) gets the training prior: the most frequent class, or the
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

    Returns:
        messages to print for the user.

    Raises:
        InputError: a setting contradicts the template, or a class cannot be written in the form of `labels`.
        ValueError: predictions are of other images or classes, repeated, negative or not finite.
    """
    if template is not None:
        _refuse_contradictions(template, values, labels, positive)
    test_ids = [*test_ids, *sorted(set(others).intersection(template.image_ids if template else ()))]
    probs, messages = _complete(test_probs, prior, test_ids)
    spelled = spellings(list(probs.columns), labels, template, names or {})
    if positive is None:
        columns = _value_columns(spelled, values, template, names or {}, absent)
        written = list(columns.values())
    else:  # one column, named as a label column would be
        columns, written = {}, [_positive_class(positive, list(spelled))]
    ids, image_ids = (template.ids, template.image_ids) if template else (sorted(test_ids), sorted(test_ids))
    cells = _cells(probs.loc[list(image_ids)], spelled, written)
    rows = [[image_id, *row] for image_id, row in zip(ids, cells, strict=True)]
    if _has_header(header, template):
        rows.insert(0, _header_row(template, id_column, label_column, list(columns)))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    tables.write_text(text.getvalue(), path)
    validate(path, template=template, test_ids=test_ids, header=header)
    if formulas := tables.formulas(dict.fromkeys(cell for row in rows for cell in row)):
        messages.append(
            f"WARNING: cells of {path.name} start like a formula: {some(formulas)}; they stay as the contest wants"
            " them: import the file into a spreadsheet as text"
        )
    distinct = {row[0] for row in cells}
    if not written and len(distinct) == 1 < len(cells):
        messages.append(
            f"WARNING: all {len(cells)} rows predict {distinct.pop()!r}; the most frequent class has"
            f" {max(prior.values()):.2f} of the train images"
        )
    return [*(template.messages if template else ()), *messages]


def validate(path: Path, *, template: Template | None, test_ids: Sequence[str], header: Header) -> None:
    """Check that a submission has the template's ids (or all test images), each once, in order, and no empty cell.

    Raises:
        InputError: names the first row that is wrong.
    """
    expected = list(template.ids) if template else sorted(test_ids)
    has_header = _has_header(header, template)
    if not expected and not has_header:
        return
    cells = tables.read_text_csv(path, header=False)
    ids = list(cells[0])[int(has_header) :]
    for position, (written, wanted) in enumerate(zip(ids, expected, strict=False)):
        if written != wanted:
            raise InputError(f"{path}: row {position + 1 + has_header} is {written!r}, must be {wanted!r}")
    if len(ids) != len(expected):
        raise InputError(f"{path}: {len(ids)} rows, must be {len(expected)}")
    if cells.shape[1] < 2 or (cells.iloc[int(has_header) :, 1:] == "").to_numpy().any():
        raise InputError(f"{path}: a row has no prediction")


def _header(cells: pd.DataFrame, images: ImageIndex, test_ids: Sequence[str], path: Path) -> tuple[str, ...] | None:
    """Return the first row if it is a header, else None."""
    first = str(cells.iloc[0, 0])
    if first.strip() and images.find(first, f"{path}: row 1") is not None:
        return None
    ending = PurePosixPath(first).suffix
    if ending and ending in {PurePosixPath(image_id).suffix for image_id in test_ids}:
        raise InputError(f"{path}: row 1: {first!r} is neither a test image nor a header; correct it, {_MISSING}")
    return tuple(str(cell) for cell in cells.iloc[0])


def _image_ids(written: pd.Series, images: ImageIndex, path: Path) -> tuple[str, ...]:
    """Return the test image of each row (index: position in the file); refuse repeated images."""
    if written.empty:
        raise InputError(f"{path}: has a header and no rows; add a row per test image, or use no template")
    ids = [images.find(text, f"{path}: row {position + 1}") for position, text in written.items()]
    if unknown := [f"row {p + 1} {text!r}" for (p, text), i in zip(written.items(), ids, strict=True) if i is None]:
        raise InputError(f"{path}: no such test image: {some(unknown)}; correct contest.images.test, {_MISSING}")
    image_ids = pd.Series(ids, index=written.index, dtype="str")
    if (repeated := image_ids.duplicated(keep=False)).any():
        rows = [f"row {position + 1} {text!r}" for position, text in written[repeated].items()]
        raise InputError(f"{path}: several rows for one test image: {some(rows)}; keep one of them")
    return tuple(image_ids)


def _messages(
    header: tuple[str, ...] | None, image_ids: Sequence[str], test_ids: Sequence[str], path: Path
) -> tuple[str, ...]:
    form = "no header" if header is None else f"header {','.join(header)}"
    messages = [f"template {path.name}: {form}, {len(image_ids)} rows"]
    if left_out := sorted(set(test_ids).difference(image_ids)):
        messages.append(
            f"{len(left_out)} test images are not in the template and not in the submission: {some(left_out)}"
        )
    return tuple(messages)


def _columns_by_class(
    template: Template, classes: Sequence[str], names: Mapping[str, str], absent: Sequence[str]
) -> dict[str, str]:
    """Return {the template's column: class or ABSENT} in the template's order; names match as text or as numbers."""
    columns = template.class_columns
    written = {names.get(name, name): name for name in classes} | dict.fromkeys(absent, ABSENT)
    numbers = {as_number(text): name for text, name in written.items()}
    numbers.pop(None, None)
    matches = {column: written.get(column, numbers.get(as_number(column))) for column in columns}
    known = {column: name for column, name in matches.items() if name is not None}
    missing = sorted(set(classes).difference(known.values()))
    unknown = [column for column in columns if column not in known]
    taken = [name for name in known.values() if name != ABSENT]
    if missing or unknown or len(known) < len(columns) or len(set(taken)) < len(taken):
        raise InputError(
            f"{template.path}: its columns must be the classes, each once: no column for {missing}, no class for"
            f" {unknown}, columns {list(columns)}{class_names.remedy(missing, unknown)}"
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
    if template.label_cells and values == "probabilities" and positive is None:
        raise InputError(
            f"params.yaml: contest.submission.values: probabilities do not fit {template.path}, which has one column"
            " after the id; say label, or name the class of that column in contest.submission.positive"
        )


def _complete(
    test_probs: pd.DataFrame, prior: Mapping[str, float], test_ids: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return probabilities (test images, classes), indexed by image_id, rows summing to 1.

    Images without a prediction get the prior; the messages name them.
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
    if not np.isfinite(probs.to_numpy()).all() or (probs < 0).to_numpy().any() or (sums <= 0).any():
        raise ValueError("probabilities must be finite, at least 0, and not all 0 in a row")
    messages = [f"{len(missing)} test images have no prediction and get the training prior: {some(missing)}"]
    return probs.div(sums, axis=0), messages if missing else []


def _value_columns(
    spelled: Mapping[str, str], values: str, template: Template | None, names: Mapping[str, str], absent: Sequence[str]
) -> dict[str, str]:
    """Return {probability column: class or ABSENT}; empty if the submission has a label column."""
    if template is not None and template.class_columns:
        return _columns_by_class(template, list(spelled), names, absent)
    if values != "probabilities":
        return {}
    return {column: name for name, column in spelled.items()} | dict.fromkeys(absent, ABSENT)


def _cells(probs: pd.DataFrame, spelled: Mapping[str, str], classes: list[str]) -> list[list[str]]:
    """Return each row's probabilities of `classes`, or its likeliest class if `classes` is empty."""
    if classes:
        values = probs.assign(**{ABSENT: 0.0})[classes] if ABSENT in classes else probs[classes]
        return [[repr(float(p)) for p in row] for row in values.to_numpy()]
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
    values = class_columns or [names[1] if len(names) == 2 else label_column]
    return [names[0] if names else id_column, *values]
