"""The names of classes in a submission that differ from the labels: advice, and checks of the settings for them."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from podium.contest import lookalikes
from podium.contest.ids import as_number
from podium.core.errors import InputError, legible, some


def remedy(missing: Sequence[str], unknown: Sequence[str]) -> str:
    """Say which settings settle columns of a template that are no class.

    Args:
        missing: classes without a column.
        unknown: columns without a class.
    """
    if not unknown and missing:
        return (
            ". If a missing class is a misspelt label, correct it in contest.labels. If one of the columns is a missing"
            " class by another name, give it in contest.submission.names, a map of class to column, and remove it from"
            " contest.submission.absent"
        )
    if not unknown:
        return ""
    names = guessed(missing, unknown)
    ways = [f"contest.submission.names: {as_yaml(names)} if that is how the contest spells them"] * bool(names)
    if set(missing) - names.keys():
        ways.append("contest.submission.names, a map of class to column, if the contest spells classes otherwise")
    if left := [column for column in unknown if column not in names.values()]:
        ways.append(
            f"contest.submission.absent: {as_yaml(left)} if these classes have no train images (missing, unreadable or"
            " dropped by overrides): their probability is 0"
        )
    return f". Correct the template or the labels, or set {'; or '.join(ways)}"


def refuse_wrong_settings(
    classes: Sequence[str], names: Mapping[str, str], absent: Sequence[str], columns: Sequence[str] | None
) -> None:
    """Refuse entries of contest.submission.names and contest.submission.absent that are wrong or have no effect.

    Args:
        classes: of the images that are trained on.
        names: class -> how it is written.
        absent: columns of probability 0.
        columns: class columns of the template; () if the settings make the columns, None if there are none.

    Raises:
        InputError: names the key and the entries.
    """
    if wrong := sorted(set(names).difference(classes)):
        raise InputError(
            f"params.yaml: contest.submission.names: {_quoted(wrong)}: no class with images has this name"
            f"{lookalikes.hint(wrong[0], classes)}; classes are {some(list(classes))}; correct or remove the entry"
        )
    written = [names.get(name, name) for name in classes]
    if len(set(written)) < len(written):
        raise InputError(
            f"params.yaml: contest.submission.names: {as_yaml(dict(names))} gives two classes one name; name each"
            " differently"
        )
    if both := sorted(set(absent).intersection({*classes, *written})):
        raise InputError(
            f"params.yaml: contest.submission.absent: {_quoted(both)}: this class has train images; remove the entry"
        )
    if idle := [text for text in absent if columns is None or (columns and not _is_among(text, columns))]:
        raise InputError(
            f"params.yaml: contest.submission.absent: {_quoted(idle)} has no effect: the submission has no such column;"
            " remove the entry"
        )


def unknown_cells(path: Path, cells: Sequence[str], written: Mapping[str, str]) -> list[str]:
    """Warn of labels in a template's rows that are no class.

    Args:
        path: of the template.
        cells: its distinct labels.
        written: class -> how the submission writes it.
    """
    unknown = [cell for cell in cells if cell.strip() and cell not in written.values()]
    if not unknown:
        return []
    names = guessed(list(written), unknown) or dict.fromkeys(list(written)[:2], "...")
    return [
        f"{path.name}: its labels {_quoted(unknown)} are no classes; the submission writes"
        f" {_quoted(list(written.values()))}. If the contest spells classes otherwise, set contest.submission.names:"
        f" {as_yaml(names)}; if these cells mean nothing, set contest.submission.labels: given"
    ]


def guessed(classes: Sequence[str], written: Sequence[str]) -> dict[str, str]:
    """Return {class: the text that looks like it}, where there is one.

    It may differ in blanks and signs, or all texts may have a beginning that the classes lack.
    """
    found: dict[str, str] = {}
    for plain in (lookalikes.skeleton, _letters):
        alike = {plain(text): text for text in written if text not in found.values() and plain(text)}
        found |= {name: alike[plain(name)] for name in classes if name not in found and plain(name) in alike}
    alike_from_the_start = takewhile(lambda letters: len(set(letters)) == 1, zip(*written, strict=False))
    start = "".join(letters[0] for letters in alike_from_the_start)  # e.g. of class_0 and class_1
    if not found and start and {text.removeprefix(start) for text in written} == set(classes):
        found = {text.removeprefix(start): text for text in written}
    return found if len(set(found.values())) == len(found) else {}


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", lookalikes.skeleton(text))


def as_yaml(value: object) -> str:
    """Return a list or map of texts as it could stand in params.yaml."""
    return legible(json.dumps(value, ensure_ascii=False))


def _is_among(text: str, columns: Sequence[str]) -> bool:
    number = as_number(text)
    return text in columns or (number is not None and number in [as_number(column) for column in columns])


def _quoted(texts: Sequence[str]) -> str:
    return some([repr(text) for text in texts])
