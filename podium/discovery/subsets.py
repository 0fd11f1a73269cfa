"""Which images are train images and which are test images: by the names of folders, of files, or by tables of ids."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from podium.discovery.image_names import common_folder, inside, is_below
from podium.discovery.inventory import Inventory

SUBSETS = ("train", "test")
_WORDS = {  # at the beginning of a word
    "train": re.compile(r"(?<![a-z])(train|trn|labell?ed)", re.IGNORECASE),
    "test": re.compile(r"(?<![a-z])(test|tst|eval|unlabell?ed|infer)", re.IGNORECASE),
    "validation": re.compile(r"(?<![a-z])(val|valid|validation|dev)(?![a-z])", re.IGNORECASE),
}
_FILES = {subset: re.compile(rf"{subset}(?=[^a-z])", re.IGNORECASE) for subset in SUBSETS}  # at a file's beginning
_COMMON = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")  # before DICOM, where a contest has both


@dataclass(frozen=True)
class ImageSet:
    """The images of a subset.

    Attributes:
        folder: that holds them, relative to the contest's; "" for the contest's own, None if there is none.
        images: their paths, relative to the contest's folder.
        why: how they were found.
        pattern: that picks them from the folder's files; None if all are or a list picks them.
        by_list: a table has to pick them, because the folder holds others.
    """

    folder: str | None
    images: tuple[str, ...]
    why: str
    pattern: str | None = None
    by_list: bool = False

    @property
    def ids(self) -> list[str]:
        """Return the paths inside the folder."""
        return [inside(self.folder or "", image) for image in self.images]


NO_IMAGES = ImageSet(None, (), "no folder or file name says test, and no template names images")


def find(found: Inventory) -> tuple[ImageSet, ImageSet]:
    """Return train and test images by names; a subset of no such names is empty, its folder None."""
    homes: dict[str, dict[str, list[str]]] = {subset: defaultdict(list) for subset in (*SUBSETS, "validation", "")}
    for image in found.images:
        subset, home = _by_folder(image)
        homes[subset][home].append(image)
    sets = {subset: _best(homes[subset], found) for subset in SUBSETS}
    rest = [image for images in homes[""].values() for image in images]
    if sets["train"].folder is None and sets["test"].folder is None:
        return _by_file_names(rest)
    if sets["train"].folder is None and rest:
        return _beside(rest, sets["test"]), sets["test"]
    return sets["train"], sets["test"]


def picked(images: Iterable[str], others: Sequence[str], why: str) -> ImageSet:
    """Return images that a table names as a subset, in a folder that may hold others."""
    chosen = tuple(sorted(images))
    folder = common_folder(chosen)
    mixed = any(is_below(image, folder) for image in set(others).difference(chosen))
    return ImageSet(folder, chosen, why, by_list=mixed)


def _by_folder(image: str) -> tuple[str, str]:
    """Return the subset that the first telling folder of a path names, and the path of that folder."""
    parts = PurePosixPath(image).parts[:-1]
    for at, part in enumerate(parts, 1):
        said = [subset for subset, pattern in _WORDS.items() if pattern.search(part)]
        said = said if said != ["train", "validation"] else ["train"]  # iNaturalist's train_val
        if len(said) == 1:
            return said[0], "/".join(parts[:at])
    return "", ""


def _best(homes: dict[str, list[str]], found: Inventory) -> ImageSet:
    """Choose among folders of a subset: common formats first, then most images, then the shortest path."""
    if not homes:
        return NO_IMAGES

    def rank(home: str) -> tuple[int, int, int]:
        return sum(image.lower().endswith(_COMMON) for image in homes[home]), len(homes[home]), -len(home)

    home = max(sorted(homes), key=rank)
    others = f"; also there: {', '.join(sorted(set(homes) - {home})[:3])}" if len(homes) > 1 else ""
    folder = _without_tables(home, homes[home], found)
    return ImageSet(folder, tuple(sorted(homes[home])), f"the folder's name says so{others}")


def _without_tables(home: str, images: Sequence[str], found: Inventory) -> str:
    """Descend to the folder that holds the images alone, where tables lie beside it."""
    while any(is_below(table, home) for table in found.tables):
        children = {inside(home, image).split("/")[0] for image in images if "/" in inside(home, image)}
        if len(children) != 1 or any("/" not in inside(home, image) for image in images):
            return home
        home = f"{home}/{children.pop()}"
    return home


def _beside(rest: Sequence[str], test: ImageSet) -> ImageSet:
    """Return the images that are not test images, where no folder says train: e.g. class folders beside it."""
    folder = common_folder(rest)
    chosen = tuple(sorted(rest))
    if not is_below(f"{test.folder}/", folder):
        return ImageSet(folder, chosen, "all images that are not in the test folder")
    tops = Counter(inside(folder, image).split("/")[0] for image in rest)
    pattern = f"^({'|'.join(map(re.escape, sorted(tops)))})/"
    return ImageSet(folder, chosen, "all folders beside the test folder", pattern)


def _by_file_names(images: Sequence[str]) -> tuple[ImageSet, ImageSet]:
    sets = []
    for pattern in _FILES.values():
        chosen = [image for image in images if pattern.match(PurePosixPath(image).name)]
        if not chosen:
            return NO_IMAGES, NO_IMAGES
        start = pattern.match(PurePosixPath(chosen[0]).name)
        word = "" if start is None else start[0]
        if not all(PurePosixPath(image).name.startswith(word) for image in chosen):
            return NO_IMAGES, NO_IMAGES
        mark = next(iter(PurePosixPath(chosen[0]).name[len(word) :]), "")
        word += mark if mark in "_-." else ""
        found = picked(chosen, images, f"names start with {word}")
        depth = "(^|/)" if any("/" in image for image in found.ids) else "^"
        sets.append(replace(found, by_list=False, pattern=f"{depth}{re.escape(word)}"))
    return sets[0], sets[1]
