"""List the files of an image folder in a fixed order, and read each one once into a row of facts.

Nothing outside the folder is read.
"""

import hashlib
import os
import re
import stat
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from podium import contracts
from podium.core import freed_memory, pixels, tables
from podium.core.errors import InputError
from podium.images import decode, decoders
from podium.images.arrays import Scaling

SYSTEM_FILES = (  # what systems leave in folders and archives, in lower case
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "recycler", "system volume information"),  # Windows
    *("__macosx", "icon\r"),  # macOS
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),  # Synology and QNAP
    *("lost+found", "__pycache__"),
)
NO_DECODER = f"{contracts.NOT_AN_IMAGE}: no decoder knows its content, and its name has no image's ending"

KEPT = 256 << 20  # bytes of freed memory: enough for photos of 20 megapixels, and little for each of many processes

_STREAM = re.compile(r".:zone\.identifier(:\$data)?$", re.IGNORECASE)  # Windows' note of where a file is from
_SCRIPT = re.compile(r"</script|<!--", re.IGNORECASE)  # would end or hide the script with a plot's data

# a row of contracts.FACTS and decode.DecodedImage.bits; and the pixels unless there is a problem
Row = tuple[dict[str, Any], decode.Pixels | None]


@dataclass(frozen=True)
class ImageFile:
    """A file of the image folder.

    Attributes:
        image_id: its path inside the folder, with /; bytes that break tables are escaped.
        path: the file to read, after following links.
        problem: why it must not be read; "" if it may.
    """

    image_id: str
    path: Path
    problem: str


def walk(folder: Path) -> tuple[list[ImageFile], int]:
    """Return every file under `folder`, sorted by image_id, and the number of ignored names (hidden or system files).

    Raises:
        InputError: a folder cannot be listed.
    """
    home, files, ignored = folder.resolve(), [], 0
    for place, folders, names in os.walk(folder, onerror=_refuse):
        ignored += sum(_is_hidden(name) for name in folders + names)
        folders[:] = [name for name in folders if not _is_hidden(name)]
        links = [name for name in folders if (Path(place) / name).is_symlink()]  # os.walk does not enter these
        visible = [name for name in names + links if not _is_hidden(name)]
        files += [_image_file(Path(place) / name, folder, home) for name in visible]
    return sorted(files, key=lambda file: file.image_id), ignored


def of_file(path: Path) -> ImageFile:
    """Return a file that a user names, under its own name; a link is followed."""
    target = path.resolve()
    return replace(_image_file(target, target.parent, target.parent), image_id=_escaped(path.name))


def split(files: list[ImageFile]) -> tuple[list[str], list[str]]:
    """Return the ids of the images, broken ones too, and those of the other files (`is_image`), without decoding."""
    images = [file.image_id for file in files if is_image(file)]
    return images, sorted({file.image_id for file in files}.difference(images))


def is_image(file: ImageFile) -> bool:
    """Return whether a file is an image, possibly a broken one: its name has an image's ending, or a decoder knows it.

    The ending counts too, because a broken download is an image that the contest may ask for.
    """
    if file.problem:
        return not file.problem.startswith(contracts.NOT_AN_IMAGE)
    return PurePosixPath(file.image_id).suffix.lower() in decoders.IMAGE_ENDINGS or _is_known(file.path)


def class_folders(folder: Path) -> list[str]:
    """Return the names of the folders in `folder`, without ignored ones; [] if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not _is_hidden(path.name))


def read(file: ImageFile, *, scaling: Scaling) -> Row:
    """Read and decode one file as podium.images.decoders does; never raise because of its kind or content."""
    size, sha256, decoded = 0, "", decode.DecodedImage(problem=file.problem)
    if not file.problem:
        try:
            with file.path.open("rb") as opened:
                size = os.fstat(opened.fileno()).st_size
                sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
                opened.seek(0)
                decoded = decoders.decode_file(opened, name=file.image_id, scaling=scaling)
            if decoded.problem and not decoded.format and not is_image(file):
                decoded = decode.DecodedImage(problem=NO_DECODER)
        except OSError as error:
            decoded = decode.DecodedImage(problem=f"cannot be read: {error.strerror}")
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
        "bits": decoded.bits,
    }
    return facts, decoded.pixels


def read_packed(
    file: ImageFile, *, scaling: Scaling, encoding: pixels.Encoding
) -> tuple[dict[str, Any], pixels.PackRow | None]:
    """Read and decode one file as `read` does, and encode its pixels for the pack."""
    freed_memory.keep(KEPT)
    facts, decoded = read(file, scaling=scaling)
    return facts, None if decoded is None else pixels.pack_row(file.image_id, decoded, encoding)


def hashed(file: ImageFile) -> str:
    """Return a file's hash as `read` notes it; "" if it cannot be read."""
    try:
        return tables.file_hash(file.path)
    except OSError:
        return ""


def _is_known(path: Path) -> bool:
    """Say whether a decoder knows a file's content."""
    try:
        with path.open("rb") as opened:
            return bool(decoders.sniffed(opened.read(decoders.SNIFFED))) or decode.is_known(path)
    except OSError:
        return True


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_FILES or bool(_STREAM.search(name))


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be listed: {error.strerror}") from error


def _image_file(path: Path, folder: Path, home: Path) -> ImageFile:
    name = path.relative_to(folder).as_posix()
    try:
        image_id = _escaped(name)
        is_link = path.is_symlink()  # a walk enters no links, so no folder on the way is one
        target = path.resolve(strict=True) if is_link else home / name
        problem = _place_problem(target, home, is_link)
    except (OSError, RuntimeError):  # Python 3.11 and 3.12 raise RuntimeError for a circle of links
        target, problem = path, "a link that leads nowhere: put the file itself here"
    if image_id != name:
        problem = "its name is not UTF-8 or holds control characters: rename it"
    if _SCRIPT.search(image_id):
        problem = "its name holds HTML that would run in the page of `dvc plots`: rename it"
    return ImageFile(image_id, target, problem)


def _escaped(name: str) -> str:
    r"""Escape bytes that are not UTF-8 and control characters, e.g. as \xff, because they break tables."""
    text = os.fsencode(name).decode("utf-8", errors="backslashreplace")
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) == "Cc" else c for c in text)


def _place_problem(target: Path, home: Path, is_link: bool) -> str:
    if is_link and target.is_dir():
        where = "" if target.is_relative_to(home) else " that leaves the image folder"
        return f"{contracts.NOT_AN_IMAGE}: a link to a folder{where}, not followed: put the folder itself here"
    if is_link and not target.is_relative_to(home):
        return "a link that leaves the image folder, not followed: put the file itself here (DVC: cache.type copy)"
    return "" if stat.S_ISREG(target.stat().st_mode) else "no regular file: remove it"
