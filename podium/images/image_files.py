"""The files of an image folder: walked in a fixed order, never left, each read once into a row of facts."""

import hashlib
import os
import re
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.core.errors import InputError
from podium.images import decode

SYSTEM_FILES = ("thumbs.db", "desktop.ini", "__macosx")  # Windows' and macOS' own, left in folders and archives

_SCRIPT = re.compile(r"</script|<!--", re.IGNORECASE)  # ends or hides the script that holds a plot's data

Row = tuple[dict[str, Any], decode.Pixels | None]  # of contracts.FACTS; its pixels where there is no problem


@dataclass(frozen=True)
class ImageFile:
    """A file of the folder.

    Attributes:
        image_id: its path inside the folder, with /; bytes that no table could hold are spelled out.
        path: where it is read; a link is followed.
        problem: "" or why it must not be read.
    """

    image_id: str
    path: Path
    problem: str


def walk(folder: Path) -> tuple[list[ImageFile], int]:
    """Return every file under `folder` by image_id, and how many names were passed over: hidden or a system's own.

    Raises:
        InputError: a folder cannot be listed.
    """
    home, found, hidden = folder.resolve(), [], 0
    for place, folders, names in os.walk(folder, onerror=_refuse):
        hidden += sum(_is_hidden(name) for name in folders + names)
        folders[:] = [name for name in folders if not _is_hidden(name)]
        links = [name for name in folders if (Path(place) / name).is_symlink()]  # os.walk does not enter these
        shown = [name for name in names + links if not _is_hidden(name)]
        found += [_image_file(Path(place) / name, folder, home) for name in shown]
    return sorted(found, key=lambda file: file.image_id), hidden


def read(file: ImageFile, *, short_side: int, max_megapixels: float) -> Row:
    """Read and decode one file; never raises for what it is or holds."""
    size, sha256, decoded = 0, "", decode.Decoded(problem=file.problem)
    if not file.problem:
        try:
            with file.path.open("rb") as opened:
                size = os.fstat(opened.fileno()).st_size
                sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
                opened.seek(0)
                decoded = decode.decode(
                    opened, name=file.image_id, short_side=short_side, max_megapixels=max_megapixels
                )
        except OSError as error:
            decoded = decode.Decoded(problem=f"cannot be read: {error.strerror}")
    facts = {
        "image_id": file.image_id,
        "width": decoded.width,
        "height": decoded.height,
        "mode": decoded.mode,
        "format": decoded.format,
        "bytes": size,
        "sha256": sha256,
        "problem": decoded.problem,
        "note": decoded.note,
    }
    return facts, decoded.pixels


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be listed: {error.strerror}") from error


def _image_file(path: Path, folder: Path, home: Path) -> ImageFile:
    written = path.relative_to(folder).as_posix()
    try:
        image_id = _spelled_out(written)
        target = path.resolve(strict=True)
        problem = _place_problem(path, target, home)
    except (OSError, RuntimeError):  # Python 3.11 and 3.12 raise RuntimeError where links run in a circle
        target, problem = path, "a link that leads nowhere: put the file itself here"
    if image_id != written:
        problem = "its name is not UTF-8 or holds control characters: rename it"
    if _SCRIPT.search(image_id):
        problem = "its name holds HTML that would run in the page of `dvc plots`: rename it"
    return ImageFile(image_id, target, problem)


def _spelled_out(name: str) -> str:
    r"""Write what is not text as \xff: bytes that are not UTF-8, and control characters, which break tables."""
    text = os.fsencode(name).decode("utf-8", errors="backslashreplace")
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) == "Cc" else c for c in text)


def _place_problem(path: Path, target: Path, home: Path) -> str:
    if path.is_symlink() and not target.is_relative_to(home):
        return "a link that leaves the image folder, not followed: put the file itself here (DVC: cache.type copy)"
    if path.is_symlink() and target.is_dir():
        return "a link to a folder, not followed: put the folder itself here"
    return "" if stat.S_ISREG(target.stat().st_mode) else "no regular file: remove it"
