"""Outputs that no member, fold or external name owns any more: found from params.yaml's names, and removed.

`infer` and `ensemble` depend on folders of outputs. What a removed member or fold left behind would make
those folders differ from a fresh clone's, and DVC would run again what has not changed.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

BY_FOLD = {"pretrain": "members", "finetune": "members", "fixres": "fixres"}  # <stage>/<name>/<fold>.*: who owns it
BY_NAME = {  # <folder>/<name>.*
    "models/weights": "members",
    "data/probe": "members",
    "data/infer": "members",
    "data/infer_fixres": "fixres",
    "data/external": "external",
}
MAY_BE_EMPTY = ("data/fixres", "data/infer_fixres", "data/external")  # folders that stages depend on


def orphans(
    root: Path, *, members: Iterable[str], fixres: Iterable[str], external: Iterable[str], folds: Iterable[str]
) -> list[Path]:
    """Return files and folders under models/ and data/ that no name of params.yaml's maps and no fold owns, sorted."""
    owners = {"members": set(members), "fixres": set(fixres), "external": set(external)}
    fold_names = set(folds)
    found = []
    for top in (root / "models", root / "data"):
        for stage, owner in BY_FOLD.items():
            for folder in _entries(top / stage):
                if folder.name not in owners[owner]:
                    found.append(folder)
                else:
                    found += [path for path in _entries(folder) if path.name.split(".")[0] not in fold_names]
    for place, owner in BY_NAME.items():
        found += [path for path in _entries(root / place) if path.name.split(".")[0] not in owners[owner]]
    return sorted(found)


def make_folders(root: Path) -> None:
    """Make the folders that stages depend on and that hold nothing where their maps do: DVC refuses missing ones.

    It warns of empty ones too, so each gets a file, one that .dvcignore keeps out of the folder's hash.
    """
    for place in MAY_BE_EMPTY:
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / ".gitignore").touch()


def is_among_outputs(root: Path, written: str) -> bool:
    """Say whether a path lies where stages write and `orphans` looks: under models/, or data/ but data/contest/."""
    path, home = (root / written).resolve(), root.resolve()
    inside = path.relative_to(home).parts if path.is_relative_to(home) else ()
    return inside[:1] == ("models",) or (inside[:1] == ("data",) and inside[:2] != ("data", "contest"))


def remove(paths: Iterable[Path]) -> None:
    """Delete files, links and folders; DVC's cache keeps what it holds of them."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _entries(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name != ".gitignore"] if folder.is_dir() else []
