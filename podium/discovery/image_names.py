"""Find the images that an id may mean, several of them too: it is not known yet which folder an id is looked up in."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import takewhile
from pathlib import PurePosixPath

LEAST_SHARE = 0.5  # of a column's cells that name an image, from which it is a column of ids
SAMPLE = 2000  # cells of a column that are looked up to see what the column is


class ImageNames:
    """Images by the forms of an id that podium.contest.ids knows: a path or a name, with or without its ending."""

    def __init__(self, images: Iterable[str]):
        self.images = tuple(images)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for image in self.images:
            path = PurePosixPath(image)
            for name in {path.name, path.stem}:
                self._by_name[name].append(image)

    def find(self, written: str) -> list[str]:
        """Return the images that an id may mean."""
        *folders, name = written.split("/")
        found = self._by_name.get(name, [])
        return [image for image in found if _ends_with(image, folders)] if folders else found

    def share(self, cells: Sequence[str]) -> float:
        """Return the share of cells, of at most SAMPLE spread over the column, that name an image."""
        sample = spread(cells)
        return sum(bool(self.find(cell)) for cell in sample) / max(len(sample), 1)

    def named(self, cells: Iterable[str]) -> set[str]:
        """Return the images that the cells may mean."""
        return {image for cell in cells for image in self.find(cell)}


def spread(cells: Sequence[str]) -> Sequence[str]:
    """Return at most SAMPLE of the cells, evenly spread."""
    return cells[:: max(1, -(-len(cells) // SAMPLE))]


def common_folder(images: Collection[str]) -> str:
    """Return the deepest folder that holds all images; "" for the contest's own."""
    parents = [PurePosixPath(image).parts[:-1] for image in (min(images), max(images))]
    return "/".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(*parents, strict=False)))


def inside(folder: str, image: str) -> str:
    """Return an image's path inside a folder."""
    return image.removeprefix(f"{folder}/") if folder else image


def is_below(path: str, folder: str) -> bool:
    """Say whether a path lies in a folder or in one below it."""
    return not folder or path.startswith(f"{folder}/")


def _ends_with(image: str, folders: list[str]) -> bool:
    parents = PurePosixPath(image).parts[:-1]
    return list(parents[max(0, len(parents) - len(folders)) :]) == folders
