"""The demo's contest: the plan of its pictures, the defects planted in a few of them, and their files."""

import csv
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from demo import scenes

SUBSETS = ("train", "test")
SMALLEST, LARGEST = 150, 900  # range of width and height, in pixels
NARROWEST, WIDEST = 0.4, 3.0  # range of width / height
FEWEST = 20  # images that a subset needs for the planted ones
_EXIF_ORIENTATION = 0x0112
_EXIF_TURNED_RIGHT = 6  # viewers must turn the stored image by 90 degrees clockwise

# Planted images by subset: position -> (kind, subset and position of the original).
PLANTED: dict[str, dict[int, tuple[str, tuple[str, int] | None]]] = {
    "train": {
        0: ("truncated", None),
        1: ("palette", None),
        2: ("exif", None),
        3: ("copy", ("train", 10)),
        4: ("copy", ("train", 11)),
        5: ("copy", ("train", 12)),
        6: ("recoded", ("train", 13)),
        7: ("recoded", ("train", 14)),
        8: ("recoded", ("train", 15)),
    },
    "test": {0: ("truncated", None), 1: ("copy", ("test", 10)), 2: ("recoded", ("train", 16))},
}


@dataclass(frozen=True)
class Picture:
    """Everything that determines the bytes of one file.

    Attributes:
        subset: train or test.
        name: of the file; it does not reveal the label.
        has_fu: whether the picture shows 福.
        width, height: pixels.
        quality: JPEG quality, 1 to 95; 0 for a PNG.
        seed: of the picture's random numbers.
        planted: kind of a planted image, e.g. "copy"; "" for the others.
    """

    subset: str
    name: str
    has_fu: bool
    width: int
    height: int
    quality: int
    seed: int
    planted: str = ""


Job = tuple[Path, Picture, scenes.Difficulty]


def plan(seed: int, counts: dict[str, int]) -> dict[str, list[Picture]]:
    """Return the pictures of every subset; half of each, planted images aside, show 福.

    Raises:
        ValueError: a subset has too few images for the planted ones.
    """
    for subset, count in counts.items():
        if count < FEWEST:
            raise ValueError(f"demo/params.yaml: draw.n_{subset}: must be at least {FEWEST}, is {count}")
    pictures = {subset: [_picture(seed, subset, place) for place in range(count)] for subset, count in counts.items()}
    for subset, planted in PLANTED.items():
        for place, (kind, original) in planted.items():
            pictures[subset][place] = _plant(pictures, pictures[subset][place], kind, original)
    return pictures


def draw(root: Path, pictures: dict[str, list[Picture]], difficulty: scenes.Difficulty, workers: int) -> None:
    """Write all images and tables under `root`; the bytes do not depend on the number of workers."""
    for subset in pictures:
        shutil.rmtree(root / subset, ignore_errors=True)
        (root / subset).mkdir(parents=True)
    jobs = [(root, picture, difficulty) for listed in pictures.values() for picture in listed]
    with tqdm(total=len(jobs), desc="draw", unit="image", disable=os.environ.get("PODIUM_PROGRESS") == "0") as bar:
        for _ in _run(jobs, workers):
            bar.update()
    _write_tables(root, pictures)


def encode(picture: Picture, difficulty: scenes.Difficulty) -> bytes:
    """Return the bytes of a picture's file."""
    rng = np.random.default_rng(picture.seed)
    image = Image.fromarray(scenes.paint(picture.width, picture.height, picture.has_fu, difficulty, rng))
    if picture.planted == "recoded":
        image = image.resize((round(image.width * 0.9), round(image.height * 0.9)), Image.Resampling.BICUBIC)
    if picture.planted == "palette":
        image = image.quantize(64)
    exif = Image.Exif()
    if picture.planted == "exif":
        image, exif[_EXIF_ORIENTATION] = image.rotate(90, expand=True), _EXIF_TURNED_RIGHT
    file = BytesIO()
    if picture.quality:
        image.save(file, "JPEG", quality=picture.quality, exif=exif)
    else:
        image.save(file, "PNG", compress_level=4)
    return file.getvalue()[:100] if picture.planted == "truncated" else file.getvalue()


def _number(*values: str | int) -> int:
    """Return a 64-bit hash of the values."""
    return int.from_bytes(hashlib.blake2b(json.dumps(values).encode(), digest_size=8).digest(), "big")


def _picture(seed: int, subset: str, place: int) -> Picture:
    """Choose a picture's size and format at random, independently of its label."""
    rng = np.random.default_rng(_number(seed, subset, place, "form"))
    quality = 0 if rng.random() < 0.1 else int(rng.integers(55, 96))
    width, height = _size(rng)
    name = f"{_number(seed, subset, place, 'name'):016x}" + (".jpg" if quality else ".png")
    return Picture(subset, name, place % 2 == 0, width, height, quality, _number(seed, subset, place, "picture"))


def _size(rng: np.random.Generator) -> tuple[int, int]:
    """Choose a random width and height in pixels: mostly near square, rarely extreme."""
    aspect = float(np.clip(np.exp(rng.normal(0.05, 0.42)), NARROWEST * 1.01, WIDEST / 1.01))
    elongation = max(aspect, 1 / aspect)
    long_side = np.exp(rng.uniform(math.log(SMALLEST * elongation * 1.01), math.log(LARGEST)))
    short_side = long_side / elongation
    width, height = (long_side, short_side) if aspect > 1 else (short_side, long_side)
    return round(width), round(height)


def _plant(
    pictures: dict[str, list[Picture]], picture: Picture, kind: str, original: tuple[str, int] | None
) -> Picture:
    stem = Path(picture.name).stem
    if original is not None:
        source = pictures[original[0]][original[1]]
        suffix = ".jpg" if kind == "recoded" else Path(source.name).suffix
        quality = 70 if kind == "recoded" else source.quality
        return replace(source, subset=picture.subset, name=stem + suffix, quality=quality, planted=kind)
    suffix, quality = (".png", 0) if kind == "palette" else (".jpg", 85)
    return replace(picture, name=stem + suffix, quality=quality, planted=kind)


def _write(job: Job) -> None:
    root, picture, difficulty = job
    cv2.setNumThreads(1)  # every process draws one picture, so more threads would compete for the same cores
    (root / picture.subset / picture.name).write_bytes(encode(picture, difficulty))


def _run(jobs: list[Job], workers: int) -> Iterator[None]:
    if workers == 1:
        yield from map(_write, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:  # fork is unsafe with threads
        yield from pool.map(_write, jobs, chunksize=16)


def _write_tables(root: Path, pictures: dict[str, list[Picture]]) -> None:
    """Write the labels sorted by name, and the sample submission in random order."""
    train, test = ({p.name: int(p.has_fu) for p in pictures[subset]} for subset in SUBSETS)
    _write_table(root / "train_labels.csv", sorted(train.items()))
    _write_table(root / "private_labels.csv", sorted(test.items()))
    shuffled = sorted(test, key=lambda name: _number(name, "order"))
    _write_table(root / "sample_submission.csv", [(name, 0) for name in shuffled])


def _write_table(path: Path, rows: list[tuple[str, int]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("image_id", "label"), *rows])
