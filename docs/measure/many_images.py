"""Measure `prepare` on many images: `python -m docs.measure.many_images [--images N ...] [--encodings raw jpeg]`.

Writes N small JPEGs into a temporary folder, as hard links to a few photos, and runs the stage in a process of its own.
Prints its time, its peak memory, the size of the pack, how fast random images are read from it, and what a run costs
that goes on after `kill -9` at half of the pack. Everything is deleted at the end. PODIUM_WORKERS sets the number of
processes; memory is that of the stage's own process, without workers.
"""

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import yaml

from docs.measure import time_decode
from podium.core import cli, pixels, tables
from podium.core.errors import InputError
from podium.core.pixels import Pixels

N_PHOTOS = 64  # different ones: a file of ext4 can have 65,000 links
READS = 20_000  # random images that are read
POLL = 0.1  # seconds between two looks at a running stage
ENCODINGS = ("raw", "jpeg")
Measured = tuple[float, float, float, str]


def main(*words: str) -> None:
    """Print a table with a line for each number of images and each encoding."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.many_images", description="`prepare` at scale.")
    parser.add_argument("--images", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--encodings", nargs="+", choices=ENCODINGS, default=ENCODINGS)
    parser.add_argument("--side", type=int, default=64, help="of the images, pixels")
    parser.add_argument("--short-side", type=int, help="of the pack, pixels; default: that of the images")
    parser.add_argument("--photos", type=Path, help="folder with photos; default: generated ones, without details")
    parser.add_argument("--folder", type=Path, help="for the temporary folder; default: the system's")
    parser.add_argument("--read", type=Path, help="read random images of this pack instead")
    asked = parser.parse_args(words)
    if asked.read is not None:
        read(asked.read)
        return
    for count in asked.images:
        for encoding in asked.encodings:
            with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
                settings = {"short_side": asked.short_side or asked.side, "encoding": encoding}
                photos = time_decode.photos(asked.photos, (asked.side, asked.side), N_PHOTOS)
                print(f"\n{count} images, {asked.side} x {asked.side} pixels, prepare: {settings}", flush=True)
                write(Path(folder), count, settings, photos)
                measure(Path(folder), count)


def measure(root: Path, count: int) -> None:
    """Pack the images twice, the second time with a kill, and read the pack."""
    folder = root / "data/prepare/train"
    _print("prepare", count, run(root))
    sizes = {path.name: path.stat().st_size / 1e6 for path in sorted(folder.iterdir())}
    print(", ".join(f"{name} {megabytes:.1f} MB" for name, megabytes in sizes.items()), flush=True)
    subprocess.run(
        [sys.executable, "-m", "docs.measure.many_images", "--read", str(folder / "pixels.arrow")], check=True
    )
    whole = [tables.file_hash(path) for path in sorted(folder.iterdir())]
    size = (folder / "pixels.arrow").stat().st_size
    for path in folder.iterdir():
        path.unlink()
    unfinished = root / ".resume/prepare/train/pixels.arrow"
    _print("killed", count, run(root, lambda: unfinished.exists() and unfinished.stat().st_size > size / 2))
    _print("prepare goes on", count, run(root))
    same = whole == [tables.file_hash(path) for path in sorted(folder.iterdir())]
    print(
        f"{'the same' if same else 'OTHER'} bytes, {len(list(unfinished.parent.iterdir()))} files left over", flush=True
    )


def write(root: Path, count: int, settings: Mapping[str, object], photos: Iterable[Pixels]) -> None:
    """Write params.yaml, with the section `prepare`, and the images."""
    images = root / "images"
    sections = {"contest": {"images": {"train": str(images), "test": str(images)}}, "prepare": dict(settings)}
    (root / "params.yaml").write_text(yaml.safe_dump(sections))
    for folder in (images, root / "photos"):
        folder.mkdir()
    for number, photo in enumerate(photos):
        (root / f"photos/{number}.jpg").write_bytes(time_decode.as_jpeg(photo))
    for number in range(count):
        os.link(root / f"photos/{number % N_PHOTOS}.jpg", images / f"{number:08}.jpg")


def run(root: Path, is_enough: Callable[[], bool] = lambda: False) -> Measured:
    """Run the stage; kill it when there is enough.

    Returns:
        seconds by the clock, of processor time, peak memory in MB, and the line that says where it goes on.
    """
    code = f"from pathlib import Path; from stages import prepare; prepare.main('train', root=Path({str(root)!r}))"
    command = [sys.executable, "-c", code]
    clock, used = time.perf_counter(), _used()
    stage = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PODIUM_PROGRESS": "0"})
    peak = 0.0
    while stage.poll() is None:
        peak = _peak(stage.pid) or peak
        if is_enough():
            stage.send_signal(signal.SIGKILL)
        time.sleep(POLL)
    printed = stage.communicate()[0]
    if stage.returncode not in (0, -signal.SIGKILL):
        raise InputError(f"`prepare` failed:\n{printed}")
    notes = [line for line in printed.splitlines() if "goes on" in line]
    return time.perf_counter() - clock, _used() - used, peak, "; ".join(notes)


def read(path: Path) -> None:
    """Print how long a pack takes to open, its memory, and how fast random images are read."""
    _forget(path)
    before, used = _resident(), time.process_time()
    packed = pixels.open_pack(path)
    print(f"open: {time.process_time() - used:.2f} s of processor time, {_resident() - before:.0f} MB", flush=True)
    cv2.setNumThreads(1)
    chosen = np.random.default_rng(0).integers(0, len(packed), READS)
    for place in ("disk", "memory"):  # what was read from the disk stays in memory
        clock, used = time.perf_counter(), time.process_time()
        for k in chosen:
            np.array(packed[packed.image_ids[k]])
        clock, used = time.perf_counter() - clock, time.process_time() - used
        print(
            f"random images from {place}: {READS / clock:.0f} a second by the clock,"
            f" {used / READS * 1e3:.3f} ms of processor time each",
            flush=True,
        )


def _forget(path: Path) -> None:
    """Let the system drop a file from its memory."""
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _print(what: str, count: int, measured: Measured) -> None:
    clock, used, peak, note = measured
    print(
        f"{what}: {clock:.1f} s by the clock, {used:.1f} s of processor time ({used / count * 1e3:.2f} ms an image),"
        f" peak {peak:.0f} MB; {note}",
        flush=True,
    )


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _peak(pid: int) -> float:
    """Return the largest resident memory of a living process so far, MB; 0 of one that has ended."""
    return _memory(f"/proc/{pid}/status", "VmHWM")


def _resident() -> float:
    return _memory("/proc/self/status", "RssAnon")


def _memory(path: str, name: str) -> float:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:")), 0.0)


if __name__ == "__main__":
    cli.run(main)
