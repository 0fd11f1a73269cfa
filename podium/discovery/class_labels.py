"""Labels in the names of train images: the folder of each, or a word in its path."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from podium.discovery.subsets import ImageSet

LEAST = 2  # images of a class, on average, from which a word is one
LISTED = 20  # classes that a pattern names one by one
_NEGATIVE = re.compile(r"cover|normal|negative|clean|none|healthy|background|control|real|original", re.IGNORECASE)
_WORDS = (  # where a file's name may hold its class
    r"^(?P<label>[^\W\d_]+)(?=[\W\d_])",
    r"[\W_](?P<label>[^\W\d_]+)\.\w+$",
)
_GROUPS = r"(?P<group>(?:patient|subject|person|case|study|site|plot|cam)[_-]?\d+)"


@dataclass(frozen=True)
class NamedLabels:
    """Labels in paths.

    Attributes:
        layout: "folders" or "names".
        pattern: with names, a regular expression on the path inside the train folder.
        classes: label -> class, where several labels are one class.
        labels: image -> label, before `classes`.
        why: of the layout.
        why_group: of the pattern's group; "" without one.
    """

    layout: str
    pattern: str | None
    classes: dict[str, str]
    labels: dict[str, str]
    why: str
    why_group: str

    @property
    def names(self) -> list[str]:
        """Return the classes, sorted."""
        return sorted({self.classes.get(label, label) for label in self.labels.values()})


def find(train: ImageSet, values: Sequence[str], cells: Sequence[str]) -> NamedLabels | None:
    """Return the labels in the train images' paths; None if no word of them looks like classes.

    Args:
        train: the train images.
        values: names of the template's columns of values.
        cells: of its one column of values.
    """
    ids = train.ids
    if sum("/" in image for image in ids) > len(ids) / 2:
        return _of_folders(train, values, cells)
    for word in _WORDS:
        labels = {image: match["label"] for image in ids if (match := re.search(word, image))}
        classes = sorted(set(labels.values()))
        if len(labels) == len(ids) and 2 <= len(classes) <= len(ids) / LEAST:
            shown = word if len(classes) > LISTED else word.replace(r"[^\W\d_]+", "|".join(classes))
            group = re.search(_GROUPS, " ".join(ids), re.IGNORECASE)
            pattern = rf"{shown}.*?(?i:{_GROUPS})" if group and word == _WORDS[0] else shown
            why = f"names hold a word of {len(classes)} values, no table holds labels"
            return NamedLabels("names", pattern, {}, labels, why, "names hold its number" if pattern != shown else "")
    return None


def _of_folders(train: ImageSet, values: Sequence[str], cells: Sequence[str]) -> NamedLabels | None:
    ids = [image for image in train.ids if "/" in image]
    first = {image: image.split("/")[0] for image in ids}
    pattern, why = None, "each class has a folder, no table holds labels"
    second = {image: image.split("/")[1] for image in ids if image.count("/") > 1}
    wanted = set(values) | set(cells)
    if second and len(wanted & set(second.values())) > len(wanted & set(first.values())):
        pattern, first = "^[^/]+/(?P<label>[^/]+)/", second
        why = "the template's classes are the folders of the second level"
    if len(set(first.values())) < 2:
        return None
    numbers = [cell for cell in cells if re.fullmatch(r"\d*\.?\d*", cell)]
    classes = _binary(sorted(set(first.values()))) if len(values) == 1 and len(numbers) == len(cells) else {}
    are_versions = pattern is None and (train.pattern is not None or bool(classes)) and _are_versions(ids)
    if train.pattern is None and not classes and not are_versions and pattern is None:
        return NamedLabels("folders", None, {}, first, why, "")
    pattern = pattern or (r"^(?P<label>[^/]+)/(?P<group>[^/.]+)" if are_versions else r"^(?P<label>[^/]+)/")
    why_group = "each file name is in every class folder: versions of one image" if are_versions else ""
    return NamedLabels("names", pattern, classes, first, why, why_group)


def _binary(folders: Sequence[str]) -> dict[str, str]:
    """Return two classes of several folders, if one of them sounds like the absence of something."""
    negative = [name for name in folders if _NEGATIVE.fullmatch(name)]
    if len(folders) < 3 or len(negative) != 1:
        return {}
    return {name: str(int(name not in negative)) for name in folders}


def _are_versions(ids: Sequence[str]) -> bool:
    """Say whether every file name is in every class folder."""
    folders: dict[str, set[str]] = defaultdict(set)
    for image in ids:
        folder, _, name = image.partition("/")
        folders[folder].add(name)
    names = list(folders.values())
    return len(names) > 1 and all(names[0] == other for other in names[1:])
