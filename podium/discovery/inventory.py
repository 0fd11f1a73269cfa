"""The images and tables of a contest's folder, by the names of its files."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from podium.contest import records
from podium.contest.records import Records
from podium.core.colours import RGB
from podium.core.errors import InputError, some
from podium.images import arrays, image_files
from podium.preflight import folder_checks

TABLE_ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
PACKED = (".gz", ".zip")
MOST_TABLES = 40  # read; a folder with more has one per image
MOST_BYTES = 2 << 30  # of a table that is read


@dataclass(frozen=True)
class Inventory:
    """What a contest's folder holds; all paths are relative to it, with /.

    Attributes:
        folder: the contest's.
        images: sorted paths of images.
        tables: path -> table, of files that can be read as one.
        unread: path of a table -> why it cannot be read.
    """

    folder: Path
    images: tuple[str, ...]
    tables: dict[str, Records]
    unread: dict[str, str]

    @cached_property
    def columns(self) -> dict[tuple[str, str], list[str]]:
        """Return the cells of each column as text, by (table, column); of columns of one name the first."""
        return {
            (path, name): list(table.column(name).str.strip())
            for path, table in self.tables.items()
            for name in table.header
        }


def take(folder: Path) -> Inventory:
    """List a contest's folder and read its tables.

    Raises:
        InputError: the folder does not exist or holds no image.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; name the folder with the contest's images and tables")
    files = image_files.walk(folder)[0]
    images, others = image_files.split(files)
    folder_checks.require_images(images, others, "contest.images", str(folder))
    if not images:
        archives = [name for name in others if name.endswith((".zip", ".tar", ".tgz", ".gz", ".7z", ".rar"))]
        links = sorted(path.name for path in folder.iterdir() if path.is_symlink() and path.is_dir())
        advice = f"; unpack {archives[0]} first" if archives else ""
        if links:
            advice += f"; links to folders are not searched ({some(links)}): move the folders here, or write their"
            advice += " paths into contest.images of params.yaml by hand, where a link may stand"
        raise InputError(f"{folder}: holds no image{advice}")
    tables: dict[str, Records] = {}
    unread: dict[str, str] = {}
    for path in sorted(filter(is_table, others), key=lambda name: (name.count("/"), name))[:MOST_TABLES]:
        try:
            if (folder / path).stat().st_size > MOST_BYTES:
                raise InputError(f"larger than {MOST_BYTES >> 30} GB")
            tables[path] = records.read(folder / path)
        except InputError as error:
            unread[path] = str(error).removeprefix(f"{folder / path}: ")
    return Inventory(folder, tuple(images), tables, unread)


def channels(found: Inventory) -> int:
    """Return the channels of the first NumPy array, the smaller of its outer sides; RGB where there is none."""
    if (first := arrays.first_shape(found.folder, found.images)) is None:
        return RGB
    _, shape = first
    return min(shape[0], shape[-1]) if len(shape) == 3 else RGB


def is_table(path: str) -> bool:
    """Say whether a file's name is that of a table."""
    name = PurePosixPath(path.lower())
    ending = PurePosixPath(name.stem).suffix if name.suffix in PACKED else name.suffix
    return ending in TABLE_ENDINGS
