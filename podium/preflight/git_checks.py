"""What DVC needs from git: a first commit, and inputs that git or DVC already tracks."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from podium.core.errors import InputError, some


def require_commit(root: Path) -> None:
    """Refuse a repository without a commit: DVCLive fails in one, and only when the first training starts.

    Raises:
        InputError: `root` is a git repository without a commit, or one that git cannot or will not read.
    """
    if not (root / ".git").exists():
        return
    done = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if done.returncode != 0 and done.stderr:  # e.g. a folder of another owner: git's message has the remedy
        said = " ".join(done.stderr.split())
        raise InputError(f"{root.resolve()}: git cannot read this repository, and DVC's logging needs it: {said}")
    if done.returncode != 0:
        raise InputError("this git repository has no commit yet, and DVC's logging needs one: run `git commit`")


def untracked(paths: Iterable[str], root: Path) -> str:
    """Say which inputs neither git nor DVC tracks and what to do, "" if there are none.

    `dvc exp run` commits such files to git, images included.

    Args:
        paths: of the inputs, as in params.yaml.
        root: of the project.
    """
    absolute = {(root / path).resolve() for path in paths}
    inside = sorted(str(path) for path in absolute if path.is_relative_to(root.resolve()))
    if not inside:
        return ""  # without a path git lists every file
    words = ["ls-files", "-z", "--others", "--exclude-standard", "--directory", "--no-empty-directory", "--", *inside]
    done = _git(root, *words)
    found = done.stdout.rstrip("\0").split("\0")
    if done.returncode != 0 or found == [""]:
        return ""
    return (
        f"neither git nor DVC tracks {some(found)}: `dvc exp run` would commit these files to git. First"
        " run `dvc add` for images and weights, and `git add` for small files"
    )


def is_kept(path: str, root: Path) -> bool:
    """Return whether a file is in git's last commit as it is here."""
    tracked = _git(root, "ls-files", "--error-unmatch", "--", path).returncode == 0
    return tracked and _git(root, "diff", "--quiet", "HEAD", "--", path).returncode == 0


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run git in `root`; where git is not installed, return a failed run that says so."""
    command = ["git", "-C", str(root), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", "git is not installed: install it")
