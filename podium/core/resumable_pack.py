"""A pack whose writing may be killed: the next run goes on after the images on the disk, to the same bytes.

The unfinished pack lies in a folder under .resume/, which git and DVC ignore. Beside it lies a journal, with a line for
each save: where the last whole record batch ends, and what the caller noted of the images up to there. The end of a
pack's file holds an index of its batches, so a later run passes the saved batches through Arrow's writer again. It
neither decodes nor writes them again.
"""

import fcntl
import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import pyarrow as pa

from podium.core import pixels, tables
from podium.core.interrupts import StopSignal

# A kill without warning loses what follows the last save. Saves are this far apart, and take a twentieth of the time.
SECONDS_BETWEEN = 10.0
COST = 20.0
MAGIC = len(b"ARROW1\0\0")  # bytes of a pack before its first message

Note = dict[str, Any]  # what JSON can hold


@dataclass(frozen=True)
class SavedPart:
    """What pack and journal hold up to the end of a batch.

    Attributes:
        end: of the batch in the pack, bytes.
        batches: number of batches.
        notes: number of notes.
        line: end of its line in the journal, bytes.
    """

    end: int = 0
    batches: int = 0
    notes: int = 0
    line: int = 0


class ResumableWriter(pixels.Writer):
    """Write a pack that a later run can continue; another process that writes the same one waits.

    Args:
        path: of the finished pack.
        encoding: of its images.
        folder: of the unfinished pack and its journal, empty after success.
        key: of all that determines how files become rows; what was saved with another key is deleted.

    Attributes:
        notes: of all files so far, in order. Between the start and `resume` they are the saved ones of an earlier run.
        was_other: whether something was deleted because it had another key.
    """

    def __init__(self, path: Path, *, encoding: pixels.Encoding, folder: Path, key: str) -> None:
        super().__init__(path, encoding=encoding)
        self.folder, self.key = folder, key
        self.notes: list[Note] = []
        self.was_other = False
        self._whole = SavedPart()
        self._pack, self._journal = folder / "pixels.arrow", folder / "journal.jsonl"
        self._last_save, self._seconds = time.monotonic(), 0.0

    def __enter__(self) -> Self:
        """Read what an earlier run has saved; call `resume` before the first image."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self._file = stack.enter_context(_opened_alone(self._pack))
            self._lines = stack.enter_context(_opened(self._journal))
            self._stack = stack.pop_all()
        self._saved = list(self._read())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Move the finished pack to its place. After an error save what is written, unless the disk failed."""
        with self._stack:
            if error is None:
                self._finish()
            elif not isinstance(error, OSError):
                self._save()
            if error is None or isinstance(error, OSError):
                for path in (self._pack, self._journal):
                    path.unlink(missing_ok=True)
            if isinstance(error, StopSignal) and (n_notes := self._saved[-1].notes):
                error.advice = f"`dvc repro` goes on after {n_notes} files"

    def resume(self, n_notes: int) -> None:
        """Keep those of the earlier run's first notes that whole batches were saved with; add the images after them.

        Args:
            n_notes: number of first notes that still hold.
        """
        part = [part for part in self._saved if part.notes <= n_notes][-1]
        try:
            self._replay(part)
        except (pa.ArrowException, OSError, StopIteration):  # damaged
            part = self._saved[0]
            self._replay(part)
        self._saved = [saved for saved in self._saved if saved.end <= part.end]
        self._whole = part
        for file, end in ((self._lines, part.line), (self._file, part.end)):
            file.truncate(end)
            file.seek(end)
            os.fsync(file.fileno())  # in this order, or a power cut could leave lines about bytes that are gone
        del self.notes[part.notes :]

    def note(self, note: Note) -> None:
        """Note what belongs to the next image, or to a file that is none."""
        self.notes.append(note)

    def _read(self) -> Iterator[SavedPart]:
        """Read the journal into `notes`; yield its parts, at first an empty one."""
        header = json.dumps({"key": self.key}).encode() + b"\n"
        if (first := self._lines.readline()) != header:
            self.was_other = bool(first)
            self._lines.truncate(0)
            self._lines.seek(0)
            self._lines.write(header)
        yield SavedPart(line=len(header))
        size = os.fstat(self._file.fileno()).st_size
        for line in iter(self._lines.readline, b""):
            try:
                values = json.loads(line)
                after, end, batches, notes = (values[name] for name in ("after", "end", "batches", "notes"))
            except (ValueError, KeyError, TypeError):  # cut off by a kill, or damaged
                return
            if not line.endswith(b"\n") or after != len(self.notes) or end > size:
                return
            self.notes += notes
            yield SavedPart(end, batches, len(self.notes), self._lines.tell())

    def _replay(self, part: SavedPart) -> None:
        """Pass the batches of a part through a new writer.

        Raises:
            pa.ArrowInvalid: they are not what was saved.
        """
        self._sink = _Continued(self._file, part.end)
        self._arrow = pa.ipc.new_file(self._sink, pixels.SCHEMA)
        self._written = set()
        if part.end:
            with pa.memory_map(str(self._pack)) as mapped:
                stream = pa.ipc.open_stream(mapped.read_buffer(part.end).slice(MAGIC))
                for _ in range(part.batches):
                    batch = stream.read_next_batch()
                    self._written.update(batch.column("image_id").to_pylist())
                    self._arrow.write_batch(batch)
        if self._sink.position != part.end:
            raise pa.ArrowInvalid(f"{self._pack}: {self._sink.position} bytes instead of {part.end}")

    def _flush(self) -> None:
        if not self._rows:
            return
        super()._flush()
        self._whole = SavedPart(self._sink.position, self._whole.batches + 1, len(self.notes))
        if time.monotonic() - self._last_save >= max(SECONDS_BETWEEN, COST * self._seconds):
            self._save()

    def _save(self) -> None:
        """Put the whole batches on the disk, and then a line into the journal."""
        before, whole, started = self._saved[-1], self._whole, time.monotonic()
        if whole.notes > before.notes:
            self._file.flush()
            os.fsync(self._file.fileno())
            notes = self.notes[before.notes : whole.notes]
            line = {"after": before.notes, "end": whole.end, "batches": whole.batches, "notes": notes}
            self._lines.write(json.dumps(line).encode() + b"\n")
            self._lines.flush()
            self._saved.append(whole)
        self._last_save = time.monotonic()
        self._seconds = self._last_save - started

    def _finish(self) -> None:
        super()._flush()
        self._arrow.close()
        self._file.flush()
        with tables.replacing(self.path) as temporary:
            shutil.move(self._pack, temporary)  # it is copied where data/ lies on another disk


class _Continued(io.RawIOBase):
    """A sink for Arrow that drops what the file holds already.

    Attributes:
        position: bytes so far, with the dropped ones.
    """

    def __init__(self, file: BinaryIO, n_held: int) -> None:
        self._to, self._n_held = file, n_held
        self.position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Write bytes, or a buffer of Arrow's, after the held ones."""
        size = len(data)
        if self.position >= self._n_held:
            self._to.write(data)
        self.position += size
        return size


def _opened(path: Path) -> BinaryIO:
    path.touch()
    return path.open("r+b")


def _opened_alone(path: Path) -> BinaryIO:
    """Open a file when no other process writes it: a stage whose DVC was killed may still be about to end."""
    while True:
        file = _opened(path)
        with suppress(OSError):  # of file systems without locks, e.g. Lustre
            fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # meanwhile the other process has moved the file to its place
