"""What DVC needs from git: a first commit, and inputs that git or DVC already tracks."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from podium.core.errors import InputError, some


def require_commit(root: Path) -> None:
    """Refuse a repository without a commit: DVCLive fails in one, and only when the first training starts.

    Raises:
        InputError: `root` is a git repository without a commit.
    """
    command = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "HEAD"]
    if (root / ".git").exists() and subprocess.run(command, capture_output=True, check=False).returncode != 0:
        raise InputError("this git repository has no commit yet, and DVC's logging needs one: run `git commit`")


def untracked_warning(paths: Iterable[str], root: Path) -> str:
    """Return a warning about inputs that neither git nor DVC tracks, "" if there are none.

    `dvc exp run` commits such files to git, images included.

    Args:
        paths: of the inputs, as in params.yaml.
        root: of the project.
    """
    absolute = {(root / path).resolve() for path in paths}
    inside = sorted(str(path) for path in absolute if path.is_relative_to(root.resolve()))
    command = ["git", "-C", str(root), "ls-files", "-z", "--others", "--exclude-standard", "--directory"]
    command += ["--no-empty-directory", "--", *inside]
    done = subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", check=False)
    untracked = done.stdout.rstrip("\0").split("\0")
    if done.returncode != 0 or untracked == [""]:
        return ""
    return (
        f"neither git nor DVC tracks {some(untracked)}: `dvc exp run` would commit these files to git. First run"
        " `dvc add` for images and weights, and `git add` for small files"
    )
