"""What a person's id means: which image, by names alone."""

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
    """Finds the image that a person's id means, by names alone: no id is ever looked up on the disk.

    An id is, in this order, an image's path inside its folder, that path without its ending, the bare file
    name, or the bare name without its ending; or one of these in other Unicode characters that look the same
    (macOS takes letters and accents apart).
    """

    def __init__(self, image_ids: Iterable[str]):
        self._forms: tuple[dict[str, list[str]], ...] = tuple(defaultdict(list) for _ in range(4))
        for image_id in sorted(image_ids):
            path = PurePosixPath(image_id)
            for form, key in zip(self._forms, (path, path.with_suffix(""), path.name, path.stem), strict=True):
                form[str(key)].append(image_id)

    def find(self, written: str, place: str) -> str | None:
        """Return the image_id that `written` means, None if there is no such image.

        Args:
            written: the id as its owner wrote it.
            place: file and row, for the error.

        Raises:
            InputError: the id is empty, leaves the image folder, or could mean several images.
        """
        keys = [_inside(text, place) for text in dict.fromkeys((written, written.strip()))]
        for key in keys:
            for form in self._forms:
                if found := form.get(key):
                    return _only(found, written, place)
        for key in keys:
            for form in self._composed:
                if found := form.get(composed(key)):
                    return _only(found, written, place)
        return None

    @cached_property
    def _composed(self) -> tuple[dict[str, list[str]], ...]:
        """Return the forms with letters and their accents put together: only ids that are not found need them."""
        forms: tuple[dict[str, list[str]], ...] = tuple(defaultdict(list) for _ in self._forms)
        for form, composed_form in zip(self._forms, forms, strict=True):
            for key, image_ids in form.items():
                composed_form[composed(key)] += image_ids
        return forms


def as_number(text: str) -> Decimal | None:
    """Return the number a label spells in plain or scientific ASCII digits, or None.

    >>> as_number("01") == as_number(" 1.0 "), as_number("nan"), as_number("1,5")
    (True, None, None)
    """
    return Decimal(text.strip()) if _NUMBER.fullmatch(text.strip()) else None


def number_text(number: Decimal) -> str:
    """Return the shortest plain spelling, the same for equal numbers.

    >>> [number_text(Decimal(text)) for text in ("01", "1.0", "0.50", "-0", "1e3")]
    ['1', '1', '0.5', '0', '1000']
    """
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _inside(written: str, place: str) -> str:
    """Return a relative path in its plain form; refuse one that could lead out of the image folder."""
    path = PurePosixPath(written)
    if not written.strip():
        raise InputError(f"{place}: the id is empty")
    if path.is_absolute() or ".." in path.parts or "\\" in written or _DRIVE.match(written):
        raise InputError(
            f"{place}: id {written!r} may leave the image folder; write its path inside the folder, with /"
        )
    return str(path)


def composed(text: str) -> str:
    """Put letters and their accents together, as Unicode's form NFC does."""
    return unicodedata.normalize("NFC", text)


def _only(found: list[str], written: str, place: str) -> str:
    if len({composed(image_id) for image_id in found}) < len(found):
        names = some([ascii(image_id) for image_id in found])
        raise InputError(
            f"{place}: id {written!r}: files look the same in other Unicode characters: {names}; rename all but one"
        )
    if len(found) > 1:
        raise InputError(
            f"{place}: id {written!r} could be any of {some(found)}; write its path inside the folder, with its ending"
        )
    return found[0]
