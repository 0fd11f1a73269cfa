"""Measure how time and memory of the duplicate search grow with the number of images.

The images are made from a few photos. No two are the same, except for the planted copies.
"""

import math
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from docs.measure import planting
from podium.analysis import fingerprints
from podium.analysis.duplicates import Duplicates
from podium.analysis.fingerprints import Prints
from podium.core import parallel, pixels, seeding
from podium.core.pixels import Pixels

EVERY = 50  # one image in 50 is a copy of the one before it
Row = tuple[int, float, float, float, float, str]
Search = Callable[[Mapping[str, Prints]], Duplicates]


def measure(files: Sequence[Path], counts: Sequence[int], short_side: int, search: Search) -> None:
    """Print time and memory of fingerprints and search for each number of images, and how they grow."""
    with tempfile.TemporaryDirectory() as folder:
        photos, path = Path(folder) / "photos.arrow", Path(folder) / "pixels.arrow"
        with pixels.Writer(photos, encoding="raw") as writer:
            for number, file in enumerate(files):
                photo = planting.read(file, short_side)
                if photo is not None:
                    writer.add(_name(number), photo)
        write(path, pixels.open_pack(photos), max(counts))
        rows = [_timed(pixels.open_pack(path), count, search) for count in sorted(counts)]
    print(
        "| images | fingerprints, s | search, s | both, s | of both, CPU s here | largest process, MB | planted found |"
    )
    print("|---|---|---|---|---|---|---|")
    for count, first, second, busy, megabytes, found in rows:
        print(
            f"| {count} | {first:.1f} | {second:.1f} | {first + second:.1f} | {busy:.1f} | {megabytes:.0f} | {found} |"
        )
    exponents = [f"{name} {_exponent(rows, at):.2f}" for name, at in (("fingerprints", 1), ("search", 2), ("CPU", 3))]
    print(f"\nexponents of growth: {', '.join(exponents)}; {parallel.worker_count()} worker processes")


def _exponent(rows: Sequence[Row], at: int) -> float:
    (least, *_), (most, *_) = (rows[k] for k in (0, -1))
    return math.log(float(rows[-1][at]) / float(rows[0][at])) / math.log(most / least) if most > least else math.nan


def _timed(pack: pixels.PixelPack, count: int, search: Search) -> Row:
    """Return the count, seconds of fingerprints and of the search, CPU seconds, memory (MB), and what was found."""
    image_ids = [_name(index) for index in range(count)]
    start, busy = time.perf_counter(), time.process_time()
    workers = parallel.worker_count()
    subsets = {"train": image_ids[: count * 4 // 5], "test": image_ids[count * 4 // 5 :]}
    prints = {subset: fingerprints.prints(pack, names, workers=workers) for subset, names in subsets.items()}
    middle = time.perf_counter()
    found = search(prints)
    end, busy = time.perf_counter(), time.process_time() - busy
    planted = {(_name(index - 1), _name(index)) for index in range(EVERY - 1, count, EVERY)}
    pairs = {(min(a[1], b[1]), max(a[1], b[1])) for a, b, *_ in found.near}
    megabytes = (
        max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    )
    result = f"{len(planted & pairs)} of {len(planted)}, and {len(pairs - planted)} other pairs"
    return count, middle - start, end - middle, busy, megabytes, result


def _name(index: int) -> str:
    return f"{index:08}"


def write(path: Path, photos: pixels.PixelPack, count: int) -> None:
    """Write a pack of `count` varied photos, rounded up to a multiple of EVERY.

    The pack holds JPEGs, because raw pixels would fill the disk.
    """
    starts = range(0, count, EVERY)
    groups = parallel.in_order(
        partial(vary, photos), starts, workers=parallel.worker_count(), name=str, preload=(__name__,)
    )
    with pixels.Writer(path, encoding="jpeg") as writer:
        for start, group in zip(starts, groups, strict=True):
            for k, image in enumerate(group):
                writer.add(_name(start + k), image)


def vary(photos: pixels.PixelPack, start: int) -> list[Pixels]:
    """Return EVERY images, each a mixture of two random crops, mirrored or not, with changed colours.

    The last image is a copy of the one before it, saved as a JPEG of quality 60.
    """
    varied = []
    for index in range(start, start + EVERY - 1):
        rng = np.random.default_rng(seeding.derive("vary", index))
        chosen = rng.choice(len(photos), 2, replace=False).tolist()
        first, second = (_random_crop(photos[photos.image_ids[k]], rng) for k in chosen)
        second = np.asarray(cv2.resize(second, first.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)
        share = rng.uniform(0.5, 0.8)
        mixed = (share * first + (1 - share) * second) * rng.uniform(0.7, 1.3, 3)
        varied.append(np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8))
    return [*varied, planting.saved(varied[-1], "JPEG", 60)]


def _random_crop(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Crop a window of 50% to 90% of each side, and resize it to the photo's size."""
    height, width = photo.shape[:2]
    rows, columns = (round(size * rng.uniform(0.5, 0.9)) for size in (height, width))
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    window = photo[top : top + rows, left : left + columns, :: rng.choice([-1, 1])]
    return np.asarray(cv2.resize(np.ascontiguousarray(window), (width, height)), np.uint8)
