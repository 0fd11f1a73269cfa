"""New image files in chunks: decoded and packed by the same functions as in `prepare`, in constant memory."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path

from podium.core import parallel, pixels
from podium.core.errors import InputError
from podium.core.pixels import PixelPack
from podium.images import image_files
from podium.images.arrays import Scaling
from podium.images.image_files import ImageFile
from podium.images.settings import PrepareSettings

WORKERS_NEED = ("podium.images.image_files", "podium.core.pixels", "podium.images.settings")


@dataclass(frozen=True)
class ImageChunk:
    """A few hundred files.

    Attributes:
        folder: temporary; it is removed before the next chunk is made.
        problems: image_id -> why it cannot be read, "" if it can; of all files, in their order.
        packed: the readable images.
    """

    folder: Path
    problems: dict[str, str]
    packed: PixelPack


def find(images: Path) -> list[ImageFile]:
    """Return the image files of a folder, sorted by their names, or the file itself.

    Raises:
        InputError: there is nothing.
    """
    if images.is_file():
        return [image_files.of_file(images)]
    if not images.is_dir():
        raise InputError(f"{images}: neither a file nor a folder; give one: make predict IMAGES=<folder or file>")
    files, _ = image_files.walk(images)
    if not files:
        raise InputError(f"{images}: the folder holds no file")
    return files


def chunks(files: list[ImageFile], settings: PrepareSettings, size: int) -> Iterator[ImageChunk]:
    """Decode files and yield them in chunks of `size` readable images; a chunk lives until the next one is asked for.

    Args:
        files: of `find`.
        settings: how images are decoded and stored.
        size: readable images of every chunk but the last one. If it is a multiple of a network's batch size, every
            image comes into the same batch as in one long pass.
    """
    read = partial(image_files.read, scaling=Scaling.of(settings))
    rows = parallel.in_order(
        read, files, workers=parallel.worker_count(), name=attrgetter("image_id"), preload=WORKERS_NEED
    )
    remaining = len(files)
    while remaining:
        with tempfile.TemporaryDirectory(prefix="podium-") as name:
            problems: dict[str, str] = {}
            readable, path = 0, Path(name) / "pixels.arrow"
            with pixels.Writer(path, encoding=settings.encoding) as writer:
                for facts, decoded in rows:
                    problems[facts["image_id"]] = facts["problem"]
                    remaining -= 1
                    if decoded is not None:
                        writer.add(facts["image_id"], decoded)
                        readable += 1
                    if readable == size:
                        break
            yield ImageChunk(Path(name), problems, pixels.open_pack(path))
