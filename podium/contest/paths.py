"""Check the paths and columns of the contest section before anything runs."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from podium.contest.list_settings import ImageLists
from podium.core.errors import InputError
from podium.core.placeholders import NO_FILE, NO_FOLDER

_NO_LISTS = ImageLists()


def check_paths(
    root: Path,
    *,
    train: str,
    test: str,
    layout: str,
    labels: str,
    overrides: str,
    template: str,
    id_column: str,
    label_column: str | Sequence[str],
    group_column: str | None,
    fold_column: str | None,
    pattern: str | None = None,
    lists: ImageLists = _NO_LISTS,
    made_later: tuple[str, ...] = (),
) -> None:
    """Refuse paths and columns of the contest section that cannot work.

    Paths are relative to `root` or absolute. Links are followed; like absolute paths, they may leave the project.

    Args:
        lists: contest.lists.
        made_later: folders that a stage of the graph writes; files in them need not exist yet.

    Raises:
        InputError: lists every wrong key and what to do.
    """
    folders = {"images.train": train, "images.test": test}
    files = {"labels": labels, "overrides": overrides, "template": template}
    files |= {"lists.train": lists.train, "lists.test": lists.test}
    faults = [
        *_column_faults(id_column, label_column, group_column),
        *_layout_faults(layout, train, labels, {"group": group_column, "fold": fold_column}),
        *_pattern_faults(layout, pattern),
        *(fault for key, path in folders.items() for fault in _folder_faults(root, key, path, made_later)),
        *(fault for key, path in files.items() for fault in _file_faults(root, key, path, made_later)),
        *_overlap_faults(root, train, test, lists),
        *_location_faults(root, folders, files),
    ]
    if faults:
        raise InputError("\n".join(f"params.yaml: contest.{fault}" for fault in faults))


def _column_faults(id_column: str, label_column: str | Sequence[str], group_column: str | None) -> list[str]:
    names = [label_column] if isinstance(label_column, str) else list(label_column)
    if double := [name for name in names if name in (id_column, group_column) or names.count(name) > 1]:
        return [f"columns: {double[0]!r} is named as the label and as something else; name two columns"]
    return []


def _layout_faults(layout: str, train: str, labels: str, columns: dict[str, str | None]) -> list[str]:
    faults = []
    if train == NO_FOLDER:
        faults.append("images.train: is the placeholder; name the folder of train images")
    if layout == "csv" and labels == NO_FILE:
        faults.append(
            "labels: is the placeholder, but `layout: csv` needs a label CSV; name it, or say `layout: folders`"
        )
    if layout != "csv":
        if labels != NO_FILE:
            faults.append(f"labels: has no effect with `layout: {layout}`; say {NO_FILE}")
        given = [key for key, column in columns.items() if column is not None]
        faults += [f"columns.{key}: has no effect with `layout: {layout}`; remove it" for key in given]
    return faults


def _pattern_faults(layout: str, pattern: str | None) -> list[str]:
    if layout == "names" and pattern is None:
        return ["columns.pattern: `layout: names` needs a regular expression with a group `label`"]
    if layout != "names" and pattern is not None:
        return [f"columns.pattern: has no effect with `layout: {layout}`; remove it"]
    return []


def _folder_faults(root: Path, key: str, written: str, made_later: tuple[str, ...]) -> list[str]:
    path = root / written
    if path.is_dir() or _is_made_later(written, path, made_later):
        return []
    tracked = (root / f"{written.rstrip('/')}.dvc").is_file()
    return [f"{key}: {written} is no folder; {'run `dvc checkout` or `dvc pull`' if tracked else 'correct the path'}"]


def _file_faults(root: Path, key: str, written: str, made_later: tuple[str, ...]) -> list[str]:
    path = root / written
    if written == NO_FILE or _is_made_later(written, path, made_later):
        return []
    if not path.is_file():
        return [f"{key}: {written} is no file; correct the path, or say {NO_FILE} where the contest has none"]
    return [] if path.stat().st_size else [f"{key}: {written} is empty; say {NO_FILE} where the contest has none"]


def _is_made_later(written: str, path: Path, made_later: tuple[str, ...]) -> bool:
    return not path.exists() and any(PurePosixPath(written).is_relative_to(folder) for folder in made_later)


def _overlap_faults(root: Path, train: str, test: str, lists: ImageLists) -> list[str]:
    """Refuse a folder that holds images of the other subset, unless `contest.lists` tells them apart."""
    outer = {"train": (root / train).resolve(), "test": (root / test).resolve()}
    for subset, other in (("train", "test"), ("test", "train")):
        if outer[other].is_relative_to(outer[subset]) and not lists.selects(subset):
            return [
                "images: train and test must be two folders, none inside the other: else a new test image would retrain"
                f" all members. Or name the {subset} images in contest.lists.{subset} or"
                f" contest.lists.{subset}_pattern"
            ]
    return []


def _location_faults(root: Path, folders: dict[str, str], files: dict[str, str]) -> list[str]:
    resolved = {key: (root / written).resolve() for key, written in folders.items()}
    faults = []
    for key, written in files.items():
        for folder, place in resolved.items():
            if written != NO_FILE and (root / written).resolve().is_relative_to(place):
                faults.append(
                    f"{key}: {written} lies in {folder} ({folders[folder]}); any change inside an image folder reruns"
                    f" everything after `prepare`: put it outside, e.g. beside that folder"
                )
    return faults
