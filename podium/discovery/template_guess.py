"""The template: which table it is, which test images its ids mean, and the form of the submission that it asks for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from podium.contest.ids import as_number
from podium.contest.template_form import INDEX
from podium.core import tables
from podium.core.errors import InputError
from podium.discovery.image_names import LEAST_SHARE, ImageNames, spread
from podium.discovery.inventory import Inventory

_NAMES = re.compile(r"submi|sample_?sub|template|^results?\b|_format|example", re.IGNORECASE)
SEPARATORS = ("|", ";", ",")  # besides blanks, of the labels in a cell
_NO_ID = re.compile(r"(^|_)(label|class|category|target|predicted|prediction|probability|score)", re.IGNORECASE)


@dataclass(frozen=True)
class TemplateGuess:
    """A template.

    Attributes:
        path: relative to the contest's folder.
        header: names of the columns; None if the first row is an image.
        id: position of the ids.
        rows: below the header.
        why: it is the template.
    """

    path: str
    header: tuple[str, ...] | None
    id: int
    rows: pd.DataFrame
    why: str

    @property
    def ids(self) -> list[str]:
        """Return the ids, without blanks around them."""
        return list(self.rows[self.id].str.strip())

    @property
    def value_places(self) -> list[int]:
        """Return the positions of the columns after the ids, or of those before them if there are none."""
        before = [at for at in range(self.id) if self.header is not None and self.header[at] not in INDEX]
        return [at for at in range(self.id + 1, self.rows.shape[1]) if not self._is_blank(at)] or before

    @property
    def has_other_columns(self) -> bool:
        """Say whether it has columns besides the ids and, behind them, the values."""
        return self.id > 0 or len(self.value_places) < self.rows.shape[1] - 1

    def _is_blank(self, at: int) -> bool:
        """Say whether a column is what a comma at the end of each line makes."""
        return self.header is not None and not self.header[at] and bool((self.rows[at] == "").all())

    @property
    def values(self) -> list[str]:
        """Return the names of the columns of values; [] without a header."""
        return [] if self.header is None else [self.header[at] for at in self.value_places]

    @property
    def cells(self) -> list[str]:
        """Return the distinct texts in the one column of values, without empty ones; [] of several columns."""
        return sorted(set(self.rows[self.value_places[0]]) - {""}) if len(self.value_places) == 1 else []


@dataclass(frozen=True)
class IdMeaning:
    """How the template's ids name test images.

    Attributes:
        share: of the ids that name one.
        table, id, file: a table with a column of the ids and a column of the files; "" if ids are names of files.
        pattern: for ids that hold more than the image's id.
        example: an id and an image.
    """

    share: float
    table: str = ""
    id: str = ""
    file: str = ""
    pattern: str | None = None
    example: tuple[str, str] | None = None


def find(found: Inventory, test: ImageNames) -> TemplateGuess | None:
    """Return the table that is the template by its name, or by its ids if it has at most two columns."""
    files = [path for path in found.tables if _is_csv(path)]
    for path in files:
        if _NAMES.search(PurePosixPath(path).name) and (guess := _read(found, path, test, "its name says so")):
            return guess
    for path in files:
        if len(found.tables[path].header) <= 2 and test.images:
            guess = _read(found, path, test, "its ids are the test images'")
            if guess is not None and test.share(guess.ids) > 0.9:
                return guess
    return None


def unusable(found: Inventory) -> list[str]:
    """Say of each table that is called a template why it cannot be one: a template needs commas."""
    named = [path for path in found.tables if _NAMES.search(PurePosixPath(path).name)]
    return [f"{path} looks like the template but is none: {why}" for path in named if (why := _fault(found, path))]


def _fault(found: Inventory, path: str) -> str:
    try:
        tables.read_text_csv(found.folder / path, header=False)
    except InputError as error:
        return str(error).removeprefix(f"{found.folder / path}: ")
    return "" if _is_csv(path) else "its name does not end in .csv: rename it"


def meaning(template: TemplateGuess, found: Inventory, test: ImageNames, label_table: str | None) -> IdMeaning:
    """Say how ids name test images: as files, as a pattern, or through a table."""
    best = IdMeaning(test.share(template.ids), example=_example(template.ids, test))
    if best.share >= 0.99 or not template.ids:
        return best
    wanted = set(spread(template.ids))
    for path, table in found.tables.items():
        if path in (template.path, label_table):
            continue
        files = [name for name in table.header if test.share(found.columns[path, name]) >= LEAST_SHARE]
        for own in table.header if files else []:
            share = len(wanted & set(found.columns[path, own])) / len(wanted)
            if share > best.share and own != files[0]:
                image = dict(zip(found.columns[path, own], found.columns[path, files[0]], strict=True))
                known = next((one for one in template.ids if one in image), "")
                best = IdMeaning(share, path, own, files[0], example=(known, image.get(known, "")))
    return best if best.share > 0.5 else max(best, _long(template, test), key=lambda one: one.share)


def row_classes(template: TemplateGuess, test: ImageNames) -> list[str]:
    """Return the classes in the ids of a template with a row per image and class; [] of another one."""
    if len(template.value_places) != 1 or test.share(template.ids) >= LEAST_SHARE:
        return []
    found = _long(template, test)
    if found.pattern is None or found.share < LEAST_SHARE:
        return []
    pattern = re.compile(found.pattern)
    return sorted({match["class"] for own in template.ids if (match := pattern.fullmatch(own))})


def _long(template: TemplateGuess, test: ImageNames) -> IdMeaning:
    """Look for ids that end or begin with something else than the image's id."""
    found = [IdMeaning(0)]
    for mark in map(re.escape, "_-|:. "):
        other = rf"(?P<class>[^{mark}]+)"
        for pattern in (rf"(?P<id>.+){mark}{other}", rf"{other}{mark}(?P<id>.+)"):
            matches = [match for text in template.ids if (match := re.fullmatch(pattern, text))]
            own = [match["id"] for match in matches]
            if len(matches) == len(template.ids) and len(set(own)) < len(own):  # several rows for each image
                found.append(IdMeaning(test.share(own), pattern=pattern, example=_example(own, test)))
    return max(found, key=lambda one: one.share)


def _read(found: Inventory, path: str, test: ImageNames, why: str) -> TemplateGuess | None:
    try:
        cells = tables.read_text_csv(found.folder / path, header=False)
    except InputError:
        return None
    first = [str(cell) for cell in cells.iloc[0]]
    shares = [test.share(list(cells.iloc[1:, at])) for at in range(cells.shape[1])] if len(cells) > 1 else [0.0]
    counted = first[0] in INDEX and cells.shape[1] > 1
    at = max(range(len(shares)), key=lambda place: (shares[place], -place))
    if shares[at] < LEAST_SHARE or (at > 0 and not counted and _NO_ID.search(first[at])):
        at = int(counted)
    has_header = not test.find(first[at])
    return TemplateGuess(path, tuple(first) if has_header else None, at, cells.iloc[1:] if has_header else cells, why)


def _is_csv(path: str) -> bool:
    return ".csv" in path.lower()


def _example(ids: Sequence[str], test: ImageNames) -> tuple[str, str] | None:
    return next(((own, images[0]) for own in ids if (images := test.find(own))), None)


@dataclass(frozen=True)
class SubmissionGuess:
    """The form of the submission.

    Attributes:
        settings: the section `submission`, without columns' names.
        metric: that fits it.
        why: key of `settings` or "metric" -> reason.
        question: what no file answers, "" if nothing.
        other: settings and metric if the answer is yes.
    """

    settings: Mapping[str, object]
    metric: str
    why: dict[str, str]
    question: str = ""
    other: "SubmissionGuess | None" = None


def of_sets(template: TemplateGuess | None, of_ids: IdMeaning, separator: str | None) -> SubmissionGuess | None:
    """Return the form of sets of labels in cells; None if the template has a column, or a row, for each label.

    Args:
        template: of the contest.
        of_ids: what its ids mean.
        separator: between the labels of a cell in the label table; the submission's too.
    """
    if template is not None and (len(template.value_places) > 1 or of_ids.pattern is not None):
        return None
    why = {"values": "all labels of an image in a cell", "metric": "sets of labels: mostly an F1 or F2 score"}
    if separator in (None, " "):
        return SubmissionGuess({"values": "labels"}, "micro_f1", why)
    why["separator"] = "as between the labels of the label table"
    return SubmissionGuess({"values": "labels", "separator": separator}, "micro_f1", why)


def submission(template: TemplateGuess | None, classes: Sequence[str], of_ids: IdMeaning) -> SubmissionGuess:
    """Say what values the template asks for, and the metric that such contests mostly have."""
    if template is not None and (long := _of_rows(template, classes, of_ids)) is not None:
        return long
    if template is None or not template.value_places:
        what = "there is no template" if template is None else f"{template.path} has ids alone"
        return _labels(f"{what}: a class per image is the plainest form")
    if len(template.value_places) > 1:
        why = {"values": "a column per class in the template", "metric": "a probability per class: mostly log loss"}
        return SubmissionGuess({"values": "probabilities"}, "log_loss", why)
    cells = template.cells
    for mark in (None, *SEPARATORS):
        if number := _ranked(cells, classes, mark):
            why = {"values": "labels in the cells", "top": f"{number} labels in a cell", "metric": "labels are ranked"}
            settings = {"values": "label", "top": number} | ({} if mark is None else {"separator": mark})
            return SubmissionGuess(settings, f"map@{number}", why | {"separator": "between the labels of a cell"})
    if not cells:
        return _labels("one column beside the ids, and its cells are empty")
    return _of_numbers(template, classes) or _labels("one column beside the ids, with a class in each cell")


def _of_rows(template: TemplateGuess, classes: Sequence[str], of_ids: IdMeaning) -> SubmissionGuess | None:
    """Return the form of a template with a row per image and class; None if it is another one."""
    why = {"values": "a row per image and class", "metric": "a probability per class: mostly log loss"}
    if of_ids.pattern is not None:
        return SubmissionGuess({"values": "probabilities"}, "log_loss", why)
    if len(template.value_places) != 2 or len(set(template.ids)) == len(template.ids) or template.header is None:
        return None
    for at in template.value_places:
        if set(template.rows[at]) <= set(classes):
            (other,) = set(template.value_places) - {at}
            settings = {"values": "probabilities", "class_column": template.header[at], "value": template.header[other]}
            why |= {"class_column": "it holds the classes", "value": "the other column"}
            return SubmissionGuess(settings, "log_loss", why)
    return None


def _of_numbers(template: TemplateGuess, classes: Sequence[str]) -> SubmissionGuess | None:
    """Return the form of a column of probabilities or other numbers; None if its cells look like classes."""
    cells = template.cells
    numbers = [as_number(cell) for cell in cells]
    if set(cells) & set(classes) - {"0"} or any(number is None for number in numbers):
        return None
    fractions = any(number is not None and 0 < number < 1 for number in numbers)
    if len(classes) == 2 and (fractions or (cells == ["0"] and set(classes) == {"0", "1"})):
        return _probability(template, classes, certain=fractions)
    are_numbers = all(as_number(name) is not None for name in classes)
    is_one = len(cells) == 1 and "." in cells[0]
    if len(classes) > 2 and are_numbers and (is_one or any(number % 1 for number in numbers if number is not None)):
        why = {"values": f"a number such as {cells[0]} in each row", "metric": "numbers: Podium decides by log loss"}
        return SubmissionGuess({"values": "number"}, "log_loss", why)
    return None


def _labels(why: str) -> SubmissionGuess:
    metric = "one label an image: mostly accuracy; look at the contest's page"
    return SubmissionGuess({"values": "label"}, "accuracy", {"values": why, "metric": metric})


def _probability(template: TemplateGuess, classes: Sequence[str], *, certain: bool) -> SubmissionGuess:
    """Return the form with one class's probability: of 1, of a class that the header names, or of the second."""
    header = "".join(template.values).lower()
    named = [name for name in classes if len(name) > 2 and name.lower() in header]
    ones = [name for name in classes if as_number(name) == 1]
    positive = ones[0] if ones else named[0] if len(named) == 1 else classes[1]
    why = {
        "values": f"one number in each row, e.g. {template.cells[0]}, and two classes: a probability",
        "positive": "the number 1" if ones else "the header names it" if named else "the second: CHECK THIS",
        "metric": "one probability an image: mostly the area under the ROC curve; log_loss is the other",
    }
    guess = SubmissionGuess({"values": "probabilities", "positive": positive}, "roc_auc", why)
    if certain:
        return guess
    question = f"{template.path} holds only 0. Does the contest want the class (no: the probability of class 1)?"
    return SubmissionGuess(guess.settings, guess.metric, why, question, _labels("you said that classes are wanted"))


def _ranked(cells: Sequence[str], classes: Sequence[str], mark: str | None) -> int:
    """Return how many labels stand in each cell, separated by `mark` or blanks; 0 if their number differs, or is 1."""
    counts = {len(cell.split(mark)) for cell in cells}
    known = set(classes)
    if len(counts) != 1 or counts == {1} or any(cell in known for cell in cells):
        return 0
    tokens = [token for cell in cells for token in cell.split(mark)]
    return counts.pop() if sum(token in known for token in tokens) >= len(tokens) / 2 else 0
