"""Decode image files into a pack, after those that an interrupted run has packed."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from operator import attrgetter
from typing import Any, TypeVar

import cv2
from tqdm import tqdm

from podium.core import code_digest, parallel, progress
from podium.core.resumable_pack import ResumableWriter
from podium.images import heic, image_files
from podium.images.arrays import Scaling
from podium.images.image_files import ImageFile
from podium.images.settings import PrepareSettings

Result = TypeVar("Result")

CODE = ("contracts.py", "core", "images")  # of podium, that decodes
LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pyarrow", "pydicom", *heic.PACKAGES)
WORKERS_NEED = ("podium.images.image_files", "podium.core.pixels", "podium.images.settings")  # slow to import


def key(settings: PrepareSettings) -> str:
    """Return a hash of all that determines the facts and the pixels of a file, besides its name and content."""
    parts = {
        "settings": settings.model_dump(mode="json"),
        "code": code_digest.of(CODE),
        "libraries": [_version(name) for name in LIBRARIES],
        "processor": cv2.getCPUFeaturesLine(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fill(
    writer: ResumableWriter, files: Sequence[ImageFile], settings: PrepareSettings, name: str
) -> list[dict[str, Any]]:
    """Add all files in their order, with a progress bar on stderr; return the facts of each.

    Args:
        writer: whose notes are facts.
        files: sorted.
        settings: the key of `writer` is theirs.
        name: of the work, in what is printed.
    """
    scaling = Scaling.of(settings)
    n_saved = len(writer.notes)
    writer.resume(_count_unchanged(writer.notes, files, scaling, name))
    n_packed = len(writer.notes)
    if n_packed:
        print(f"{name}: goes on after {n_packed} of {len(files)} files, which an earlier run has decoded")
    elif n_saved or writer.was_other:
        print(f"{name}: starts anew: files, settings, code or libraries have changed since it was interrupted")
    rows = parallel.in_order(
        partial(image_files.read_packed, scaling=scaling, encoding=settings.encoding),
        files[n_packed:],
        workers=parallel.worker_count(),
        name=attrgetter("image_id"),
        preload=WORKERS_NEED,
    )
    for facts, packed in _with_bar(rows, name, total=len(files), initial=n_packed):
        writer.note(facts)
        if packed is not None:
            writer.append(packed)
    return writer.notes


def _with_bar(rows: Iterable[Result], name: str, *, total: int, initial: int = 0) -> Iterable[Result]:
    label = name.replace(":", "")
    return tqdm(rows, label, total=total, initial=initial, unit="img", disable=not progress.shown())


def _count_unchanged(saved: Sequence[dict[str, Any]], files: Sequence[ImageFile], scaling: Scaling, name: str) -> int:
    """Return how many of the first files have the facts that were saved; each is read and hashed for it."""
    pairs = list(zip(saved, files, strict=False))
    found = parallel.in_order(
        partial(_is_unchanged, scaling=scaling),
        pairs,
        workers=parallel.worker_count(),
        name=_id_of_pair,
        preload=WORKERS_NEED,
    )
    shown = _with_bar(found, f"{name} compare", total=len(pairs)) if pairs else ()
    n_unchanged = sum(1 for _ in takewhile(bool, shown))
    found.close()  # the processes end
    return n_unchanged


def _is_unchanged(pair: tuple[dict[str, Any], ImageFile], scaling: Scaling) -> bool:
    facts, file = pair
    if facts["image_id"] != file.image_id:
        return False
    if facts["sha256"]:
        return not file.problem and image_files.hashed(file) == facts["sha256"]
    return image_files.read(file, scaling=scaling) == (facts, None)


def _id_of_pair(pair: tuple[dict[str, Any], ImageFile]) -> str:
    return pair[1].image_id


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
