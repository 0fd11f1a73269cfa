"""Find and remove outputs of members, folds and external names that params.yaml no longer has.

`infer` and `ensemble` depend on folders of outputs. Outputs of a removed member or fold would make these folders
differ from those of a fresh clone, and DVC would run stages again although nothing they read has changed.

This file imports nothing of Podium: the graph's tests run it alone.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

MAPS = (
    "members",
    "fixres",
    "pseudo",
    "soup",
    "distill",
    "extra",
    "external",
)  # of params.yaml, whose names own outputs
BY_FOLD = {
    "pretrain": "members",
    "finetune": "members",
    "fixres": "fixres",
    "pseudo": "pseudo",
    "distill": "distill",
}  # <stage>/<name>/<fold>.*: owning map
BY_NAME = {  # <folder>/<name>.*: owning map
    "models/weights": "members",
    "models/probe": "members",
    "models/classifiers": "members",
    "data/probe": "members",
    "data/infer": "members",
    "data/infer_pretrain": "members",
    "data/infer_fixres": "fixres",
    "data/infer_pseudo": "pseudo",
    "models/soup": "soup",
    "data/soup": "soup",
    "data/extra": "extra",
    "data/external": "external",
}
# folders that stages depend on
MAY_BE_EMPTY = (
    "models/fixres",
    "data/fixres",
    "data/infer_fixres",
    "models/pseudo",
    "data/pseudo",
    "data/infer_pseudo",
    "models/soup",
    "data/soup",
    "data/distill",
    "data/extra",
    "data/external",
)


def orphans(root: Path, *, folds: Iterable[str], **maps: Iterable[str]) -> list[Path]:
    """Return files and folders that no name of params.yaml's maps and no fold owns, sorted.

    They lie under models/, data/ and .resume/ (states of unfinished trainings, podium/training/resume.py).

    Args:
        root: of the project.
        folds: their names.
        maps: the names in each of the `MAPS`.
    """
    owners = {key: set(maps[key]) for key in MAPS}
    fold_names = set(folds)
    unowned = []
    for top in (root / "models", root / "data", root / ".resume"):
        for stage, owner in BY_FOLD.items():
            for folder in _entries(top / stage):
                if folder.name not in owners[owner]:
                    unowned.append(folder)
                else:
                    unowned += [path for path in _entries(folder) if path.name.split(".")[0] not in fold_names]
    for place, owner in BY_NAME.items():
        unowned += [path for path in _entries(root / place) if path.name.split(".")[0] not in owners[owner]]
    return sorted(unowned)


def make_folders(root: Path) -> None:
    """Make the folders that stages depend on even where they stay empty, because DVC refuses missing ones.

    DVC also warns of empty folders, so each gets a file that .dvcignore excludes from the folder's hash.
    """
    for place in MAY_BE_EMPTY:
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / ".gitignore").touch()


def is_among_outputs(root: Path, written: str) -> bool:
    """Return whether a path lies where stages write and `orphans` searches: models/, or data/ except data/contest/."""
    path, home = (root / written).resolve(), root.resolve()
    inside = path.relative_to(home).parts if path.is_relative_to(home) else ()
    return inside[:1] == ("models",) or (inside[:1] == ("data",) and inside[:2] != ("data", "contest"))


def remove(paths: Iterable[Path]) -> None:
    """Delete files, links and folders; DVC's cache keeps its copies."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _entries(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name != ".gitignore"] if folder.is_dir() else []
