"""Find the image that an id in a user's file means, and the number that a label means.

A bundle has a copy of this file, so it imports no library.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from functools import cached_property
from pathlib import PurePosixPath

from podium.core.errors import InputError, some

_DRIVE = re.compile(r"[A-Za-z]:")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,2})?", re.ASCII | re.IGNORECASE)


class ImageIndex:
    """Finds the image that an id in a user's file means, by comparing names; it never looks an id up on the disk.

    The forms of an id, in this order: the image's path inside its folder; that path without the file's ending; the
    file name; the file name without its ending. Then the same forms again, with Unicode composed: macOS stores letters
    and their accents as separate characters. Last, the same for what follows the name of the image folder in a path.
    """

    def __init__(self, image_ids: Iterable[str], others: Iterable[str] = (), folder: str = ""):
        """Index the images.

        Args:
            image_ids: of the images.
            others: files that are no images, found only where no image has the name.
            folder: name of the image folder.
        """
        files = list(others)
        self._folder = f"{folder}/"
        self._others = ImageIndex(files, folder=folder) if files else None
        self._forms: tuple[dict[str, list[str]], ...] = tuple(defaultdict(list) for _ in range(4))
        for image_id in sorted(image_ids):
            path = PurePosixPath(image_id)
            for form, key in zip(self._forms, (path, path.with_suffix(""), path.name, path.stem), strict=True):
                form[str(key)].append(image_id)

    def find(self, written: str, place: str) -> str | None:
        """Return the image_id that `written` names, or None.

        Args:
            written: the id as the user wrote it.
            place: file and row, for the error message.

        Raises:
            InputError: the id is empty, may leave the image folder, or could mean several images.
        """
        if matches := self._forms[0].get(written):  # also of a file whose own name holds \\ or begins like a drive
            return _only(matches, written, place)
        keys = [_inside(text, place) for text in dict.fromkeys((written, written.strip()))]
        if self._folder != "/":
            keys += [f"/{key}".split(f"/{self._folder}", 1)[1] for key in keys if f"/{self._folder}" in f"/{key}"]
        for key in keys:
            for form in self._forms:
                if matches := form.get(key):
                    return _only(matches, written, place)
        for key in keys:
            for form in self._composed:
                if matches := form.get(composed(key)):
                    return _only(matches, written, place)
        return None if self._others is None else self._others.find(written, place)

    def examples(self) -> str:
        """Return some images' ids, for messages."""
        return some(list(self._forms[0]), 3) or "none"

    @cached_property
    def _composed(self) -> tuple[dict[str, list[str]], ...]:
        """Return the forms with Unicode composed; computed only if some id has no other match."""
        forms: tuple[dict[str, list[str]], ...] = tuple(defaultdict(list) for _ in self._forms)
        for form, composed_form in zip(self._forms, forms, strict=True):
            for key, image_ids in form.items():
                composed_form[composed(key)] += image_ids
        return forms


def as_number(text: str) -> Decimal | None:
    """Return the number that a label spells in plain or scientific ASCII digits, or None.

    >>> as_number("01") == as_number(" 1.0 "), as_number("nan"), as_number("1,5")
    (True, None, None)
    """
    return Decimal(text.strip()) if _NUMBER.fullmatch(text.strip()) else None


def number_text(number: Decimal) -> str:
    """Return the shortest plain spelling; equal numbers have the same one.

    >>> [number_text(Decimal(text)) for text in ("01", "1.0", "0.50", "-0", "1e3")]
    ['1', '1', '0.5', '0', '1000']
    """
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _inside(written: str, place: str) -> str:
    """Return a relative path in normal form; refuse one that may leave the image folder."""
    path = PurePosixPath(written)
    if not written.strip():
        raise InputError(f"{place}: the id is empty")
    if path.is_absolute() or ".." in path.parts or "\\" in written or _DRIVE.match(written):
        raise InputError(
            f"{place}: id {written!r} may leave the image folder; write its path inside the folder, with /"
        )
    return str(path)


def composed(text: str) -> str:
    """Combine letters and their accents (Unicode normal form NFC)."""
    return unicodedata.normalize("NFC", text)


def _only(matches: list[str], written: str, place: str) -> str:
    if len({composed(image_id) for image_id in matches}) < len(matches):
        names = some([ascii(image_id) for image_id in matches])
        raise InputError(
            f"{place}: id {written!r}: these files look the same but have different Unicode characters: {names};"
            " rename all but one"
        )
    if len(matches) > 1:
        raise InputError(
            f"{place}: id {written!r} could be any of {some(matches)}; move the files that it does not mean out of the"
            " image folder, or, except in the contest's template, write the file's path in the folder, with the ending"
        )
    return matches[0]
