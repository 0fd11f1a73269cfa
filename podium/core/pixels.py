"""The packed image file: `prepare` writes it once, and every later stage memory-maps it.

It is an Arrow IPC file, so that other tools can read it too. A record batch holds a few megabytes of images.
Raw pixels are read without a copy. The pack holds readable images only. All have the number of channels of
`prepare.channels`, which is 3 (RGB) or follows from the number of bytes.
"""

import errno
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from podium.core import tables
from podium.core.colours import RGB
from podium.core.errors import InputError

Pack = TypeVar("Pack", bound="PixelPack")
Pixels = NDArray[np.uint8]  # (height, width, channels), RGB if there are 3
Encoding = Literal["raw", "jpeg"]
PackRow = tuple[str, int, int, str, bytes]  # the columns of SCHEMA

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("encoding", pa.string(), nullable=False),  # "raw" or "jpeg"
        pa.field("pixels", pa.large_binary(), nullable=False),
    ]
)
BATCH_BYTES = 4 << 20  # of images that a writer collects: small in memory, large enough for few batches
MOST_CHANNELS = 4  # that OpenCV resizes by areas at once
JPEG_QUALITY = 95
JPEG_LONGEST_SIDE = 65500  # libjpeg's limit, pixels


class PixelPack:
    """A pack open for reading: image_id -> pixels. Safe in forked workers; spawned workers open it again.

    Attributes:
        image_ids: sorted.
    """

    def __init__(self, path: Path) -> None:
        """Map the file and index its images; call `open_pack` instead, whose errors name the remedy."""
        self.path = path.absolute()
        mapped = pa.memory_map(str(path)).read_buffer()
        self._bytes: Pixels = np.frombuffer(mapped, dtype=np.uint8)
        # Positions in the file instead of Arrow's arrays: a forked worker then needs no library to read them.
        self._places: dict[str, tuple[int, int, int, int, str]] = {}
        reader = pa.ipc.open_file(mapped)
        if reader.schema != SCHEMA:
            raise pa.ArrowInvalid("columns are not those of a pack")
        for i in range(reader.num_record_batches):
            self._note_places(reader.get_batch(i), mapped.address)
        self.image_ids = sorted(self._places)

    def _note_places(self, batch: pa.RecordBatch, base: int) -> None:
        _validity, offset_buffer, data = batch.column("pixels").buffers()
        offsets = np.frombuffer(offset_buffer, dtype=np.int64, count=batch.num_rows + 1) + (data.address - base)
        columns = (batch.column(name).to_pylist() for name in ("image_id", "height", "width", "encoding"))
        for row, (image_id, height, width, encoding) in enumerate(zip(*columns, strict=True)):
            self._places[image_id] = (int(offsets[row]), int(offsets[row + 1]), height, width, encoding)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._places)

    def __contains__(self, image_id: object) -> bool:
        """Return whether the pack has the image, i.e. whether the image was readable."""
        return image_id in self._places

    def __getitem__(self, image_id: str) -> Pixels:
        """Return the pixels (height, width, channels); raw pixels are a read-only view of the file.

        Raises:
            InputError: the pack has no such image.
        """
        if image_id not in self._places:
            raise InputError(
                f"{self.path}: has no image {image_id}: it is unreadable, or added after `prepare`; run `dvc repro`"
            )
        start, stop, height, width, encoding = self._places[image_id]
        stored = self._bytes[start:stop]
        if encoding == "raw":
            return stored.reshape(height, width, -1)
        return np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB), dtype=np.uint8)

    def __getstate__(self) -> dict[str, Path]:
        """Pickle only the path: a worker maps the file itself."""
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Path]) -> None:
        """Map the file again."""
        self.__init__(state["path"])  # type: ignore[misc]


def open_pack(path: Path) -> PixelPack:
    """Open a pack that `prepare` wrote.

    Raises:
        InputError: the file is missing or is no pack.
    """
    return _opened(PixelPack, path)


def _opened(kind: type[Pack], path: Path) -> Pack:
    try:
        return kind(path)
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro prepare`") from None
    except (pa.ArrowInvalid, OSError) as error:
        if os.strerror(errno.ENOMEM) in str(error):  # Arrow's error has no number
            raise InputError(f"{path}: too little memory to map it; free some, or raise the limit") from None
        raise InputError(f"{path}: is no pack of pixels ({error}); run `dvc repro -f prepare`") from None


class RgbPack(PixelPack):
    """A pack whose images are RGB to look at, however many channels they have (`as_rgb`)."""

    def __getitem__(self, image_id: str) -> Pixels:
        """Return the pixels (height, width, 3)."""
        return as_rgb(super().__getitem__(image_id))


def open_rgb(path: Path) -> RgbPack:
    """Open a pack for pictures and for the search for duplicates.

    Raises:
        InputError: as `open_pack`.
    """
    return _opened(RgbPack, path)


def as_rgb(pixels: Pixels) -> Pixels:
    """Return an image (height, width, 3): grey three times, or the means of three groups of channels."""
    channels = pixels.shape[2]
    if channels == RGB:
        return pixels
    if channels < RGB:
        pixels = pixels[..., [0, channels - 1, 0]]
        return np.ascontiguousarray(pixels)
    groups = np.array_split(pixels, RGB, axis=2)
    return np.stack([group.mean(axis=2).astype(np.uint8) for group in groups], axis=2)


def resized(pixels: Pixels, height: int, width: int, *, shrinks: bool) -> Pixels:
    """Resize an image (height, width, channels): by area interpolation if it shrinks, else by cubic interpolation."""
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    if pixels.shape[2] == RGB:
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=method), dtype=np.uint8)
    parts = [
        cv2.resize(np.ascontiguousarray(pixels[..., at : at + MOST_CHANNELS]), (width, height), interpolation=method)
        for at in range(0, pixels.shape[2], MOST_CHANNELS)
    ]
    return np.concatenate([part.reshape(height, width, -1) for part in parts], axis=2)


class Writer:
    """Write a pack image by image in constant memory; the file appears when the block ends without an error."""

    def __init__(self, path: Path, *, encoding: Encoding) -> None:
        self.path, self.encoding = path, encoding
        self._rows: list[PackRow] = []
        self._held_bytes = 0
        self._written: set[str] = set()

    def __enter__(self) -> Self:
        """Open the file under a temporary name."""
        with ExitStack() as stack:
            temporary = stack.enter_context(tables.replacing(self.path))
            self._arrow = stack.enter_context(pa.ipc.new_file(str(temporary), SCHEMA))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Move the finished file to its place; after an error, leave the earlier file as it is."""
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._flush()

    def add(self, image_id: str, pixels: Pixels) -> None:
        """Append one image (height, width, channels).

        Raises:
            ValueError: the array has another shape or type, or the pack has the image already.
        """
        self.append(pack_row(image_id, pixels, self.encoding))

    def append(self, row: PackRow) -> None:
        """Append one image, a row of `pack_row`.

        Raises:
            ValueError: the pack has the image already.
        """
        if row[0] in self._written:
            raise ValueError(f"{row[0]}: added twice")
        self._written.add(row[0])
        self._rows.append(row)
        self._held_bytes += len(row[-1])
        if self._held_bytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = [
                pa.array(column, field.type)
                for column, field in zip(zip(*self._rows, strict=True), SCHEMA, strict=True)
            ]
            self._arrow.write_batch(pa.record_batch(columns, schema=SCHEMA))
            self._rows, self._held_bytes = [], 0


def pack_row(image_id: str, pixels: Pixels, encoding: Encoding) -> PackRow:
    """Return an image (height, width, channels) as a pack stores it; worker processes do this, because JPEG takes long.

    Raises:
        ValueError: the array has another shape or type.
    """
    if pixels.ndim != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"{image_id}: pixels must be (height, width, channels) uint8: {pixels.shape} {pixels.dtype}")
    return image_id, *pixels.shape[:2], *_encoded(pixels, encoding)


def _encoded(pixels: Pixels, encoding: str) -> tuple[str, bytes]:
    """Return the encoding and the bytes; an image that JPEG cannot hold stays raw."""
    if encoding == "raw" or max(pixels.shape) > JPEG_LONGEST_SIDE or pixels.shape[2] != RGB:
        return "raw", pixels.tobytes()
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    done, coded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"JPEG cannot hold an image of shape {pixels.shape}")
    return "jpeg", coded.tobytes()
