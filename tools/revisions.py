"""Read the outputs of a run (an experiment, a git revision or the workspace) from DVC's cache or remote."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from dvc.repo import Repo
from dvc.scm import SCM, RevError, SCMError, resolve_rev

from podium import contracts
from podium.contest.settings import ContestSettings
from podium.core import params, tables
from podium.core.errors import InputError

WORKSPACE = "workspace"
PARAMS, FOLDS, OOF = "params.yaml", "data/split/folds.csv", "data/ensemble/oof.parquet"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        name: as the user wrote it.
        metric: its `contest.metric`.
        folds: tables.FOLDS, sorted by image_id.
        oof: contracts.OOF, sorted by image_id.
    """

    name: str
    metric: str
    folds: pd.DataFrame
    oof: pd.DataFrame


def read(name: str, root: Path) -> Run:
    """Read the run of an experiment's name, a git revision, or WORKSPACE.

    Raises:
        InputError: there is no such revision, it has no finished run, or DVC's cache lacks its outputs.
    """
    with files(name, root, (PARAMS, FOLDS, OOF)) as folder:
        values = params.read(folder)
        return Run(
            name=name,
            metric=params.parse(params.section(values, "contest"), "contest", ContestSettings).metric,
            folds=tables.read(folder / FOLDS, tables.FOLDS).sort_values("image_id", ignore_index=True),
            oof=tables.read(folder / OOF, contracts.OOF).sort_values("image_id", ignore_index=True),
        )


@contextmanager
def files(name: str, root: Path, paths: Sequence[str]) -> Iterator[Path]:
    """Yield a folder that holds files of a run while the context is open.

    Args:
        name: of an experiment, a git revision, or WORKSPACE.
        root: of the project.
        paths: of the files, relative to the root.

    Raises:
        InputError: there is no such revision, it has no such file, or DVC's cache lacks it.
    """
    if name == WORKSPACE:
        missing = [path for path in paths if not (root / path).exists()]
        if missing:
            raise InputError(f"workspace: {', '.join(missing)} not found; run `make`, or `dvc checkout`")
        yield root
        return
    with tempfile.TemporaryDirectory() as folder:
        _fetch(name, root, paths, Path(folder))
        yield Path(folder)


def _fetch(name: str, root: Path, paths: Sequence[str], folder: Path) -> None:
    with Repo.open(str(root.absolute()), rev=_resolved(name, root)) as repo:  # with this machine's cache and remotes
        for path in paths:
            _fetch_file(repo, name, path, folder / path)


def _fetch_file(repo: Repo, name: str, path: str, target: Path) -> None:
    """Copy a file, tracked by git or DVC, at the repository's revision."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fs = repo.dvcfs
    info = fs.info(f"/{path}") if fs.exists(f"/{path}") else None
    if info is None or ("dvc_info" in info and "md5" not in info["dvc_info"]):
        raise InputError(f"{name}: its commit has no {path} in dvc.lock: commit a finished run first")
    try:
        fs.get_file(f"/{path}", str(target))
    except FileNotFoundError:
        raise InputError(
            f"{name}: neither DVC's cache nor its remote has {path}: run `dvc push` (and `dvc exp push`) on the"
            " machine that made it, or check it out (`dvc exp apply`) and run it again"
        ) from None


def _resolved(name: str, root: Path) -> str:
    """Return the commit of an experiment or git revision."""
    try:
        with closing(SCM(str(root))) as scm:
            commit = str(resolve_rev(scm, name))
            scm.resolve_commit(commit)
        return commit
    except (RevError, AttributeError):  # pygit2 raises the second for a file or folder in a commit
        raise InputError(
            f"{name}: no experiment, branch, tag or commit has this name; `dvc exp list -A` and `git log` list them"
        ) from None
    except SCMError as error:
        raise InputError(f"{root}: not a git repository: {error}") from None
