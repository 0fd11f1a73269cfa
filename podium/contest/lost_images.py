"""Labels whose images are missing or unreadable, e.g. after a broken-off download, and classes that lose all images."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from podium.contest.labels import GivenLabels, JoinedLabels
from podium.core import targets
from podium.core.errors import InputError, some

MISSING_MARKS = frozenset({"nan", "NaN", "NAN", "<NA>", "#N/A", "NaT", "null", "NULL"})  # not NA, which may be a code
NOT_READABLE, NO_FILE_OF_IT = "unreadable", "without an image"

LostClasses = dict[str, dict[str, int]]  # class -> why its labels are not used -> number of labels


def require_enough(given: GivenLabels, unreadable: Collection[str], limit: float, folder: Path) -> int:
    """Return the number of labels; refuse a contest that has lost too many of their images.

    Args:
        given: the contest's labels.
        unreadable: ids of images that cannot be read; () while that is not known.
        limit: contest.max_missing.
        folder: of the train images, for the message.

    Raises:
        InputError: the share of labels without an image or with an unreadable one is above the limit.
    """
    labelled = given.table.loc[given.table["label"] != "", "image_id"]
    without, broken = sum(given.without_image.values()), labelled[labelled.isin(list(unreadable))]
    total = len(labelled) + without
    share = (without + len(broken)) / max(total, 1)
    if share > limit:
        named = [f"{i} ({problem})" for i, problem in given.problems if without] + list(broken)
        raise InputError(
            f"of {total} labels {without} have no image in {folder} and {len(broken)} have an unreadable one:"
            f" {some(named)}; the download may be incomplete. Add the images, or correct contest.images.train; to train"
            f" without them, set contest.max_missing in params.yaml to {math.ceil(share * 100) / 100:g} or more"
        )
    return total


def classes(given: GivenLabels, joined: JoinedLabels, unreadable: Collection[str]) -> LostClasses:
    """Return the classes of the labels that have no used image left, and why.

    Args:
        given: the contest's labels.
        joined: the images with their labels.
        unreadable: ids of images that cannot be read.
    """
    used = targets.names_in(joined.labels.loc[joined.labels["use"] == "train", "label"])
    effects = joined.overrides_applied.set_index("image_id")["effect"].to_dict()
    lost: dict[str, Counter[str]] = {}
    for image_id, cell in given.table[["image_id", "label"]].to_numpy():
        for label in targets.names_in([cell]) - used:
            reason = NOT_READABLE if image_id in unreadable else f"{effects[image_id]} by an override"
            lost.setdefault(label, Counter())[reason] += 1
    for cell, n in given.without_image.items():
        for label in targets.names_in([cell]) - used:
            lost.setdefault(label, Counter())[NO_FILE_OF_IT] += n
    return {label: dict(sorted(reasons.items())) for label, reasons in sorted(lost.items())}


def warnings(given: GivenLabels, joined: JoinedLabels, total: int, lost: LostClasses) -> list[str]:
    """Warn of labels without images, of images without labels if they are most, and of classes without images.

    Args:
        given: the contest's labels.
        joined: the images with their labels.
        total: number of labels.
        lost: of `classes`.
    """
    found = []
    if without := sum(given.without_image.values()):
        found.append(
            f"{without} of {total} labels have no image; the download may be incomplete (data/label/problems.csv)"
        )
    unlabelled = joined.skipped.get("no label", 0) + joined.skipped.get("empty label", 0)
    if 2 * unlabelled > len(joined.labels):
        found.append(f"{unlabelled} of {len(joined.labels)} train images have no label and are not used")
    if marks := sorted(MISSING_MARKS & targets.names_in(joined.labels["label"])):
        found.append(
            f"classes {some(list(map(repr, marks)))}: this is what programs write for a missing value; leave the label"
            " empty if the images have none"
        )
    if lost:
        named = [f"{label!r} ({_counted(reasons)})" for label, reasons in lost.items()]
        found.append(f"classes that have lost all their images: {some(named)}; no model can predict them")
    return found


def empty_folders(folders: Iterable[str], image_ids: Iterable[str]) -> list[str]:
    """Warn of class folders that hold no image."""
    empty = sorted(set(folders).difference(image_id.split("/")[0] for image_id in image_ids))
    if not empty:
        return []
    return [f"class folders without an image: {some(list(map(repr, empty)))}; no model can predict these classes"]


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in reasons.items())
