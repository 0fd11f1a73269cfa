"""Write logs/report.html: the page of the stage `page` with the commit and the times of this folder's run.

They are no part of the stage's output, because that has the same bytes for the same tables, settings and libraries.
"""

import subprocess
from pathlib import Path

from podium.core import stage_times, tables
from podium.core.errors import some
from podium.page import rendering

PAGE = Path("data/report/index.html")
COPY = Path("logs/report.html")
START, END = "<!-- run -->", "<!-- /run -->"


def write(root: Path) -> Path | None:
    """Write the copy and return its path; None where there is no page."""
    if not (root / PAGE).exists():
        return None
    before, _, rest = (root / PAGE).read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    seconds = stage_times.last_seconds(root)
    commit, changed = _state(root)
    content = {"commit": commit, "changed": changed, "times": list(seconds.items()), "total": sum(seconds.values())}
    section = rendering.render("run.html.j2", content)
    tables.write_text(before + section + after, root / COPY)
    return COPY


def _state(root: Path) -> tuple[str, str]:
    """Return git's commit, and the names of files that differ from it; "" and "" outside of git."""
    try:
        commit = _git(root, "rev-parse", "HEAD").strip()
        changed = _git(root, "status", "--porcelain", "--untracked-files=no").splitlines()
    except (OSError, subprocess.CalledProcessError):
        return "", ""
    return commit, some([line[3:] for line in changed]) if changed else ""


def _git(root: Path, *words: str) -> str:
    return subprocess.run(("git", *words), cwd=root, text=True, capture_output=True, check=True).stdout
