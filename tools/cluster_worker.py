"""What a machine of `make cluster` does for one chain of stages: clone the commit, `dvc repro --pull`, `dvc push`.

Ray sends the code of this file to the machines, so it imports the standard library alone. A chain has a clone of its
own, which is removed when all its stages have been pushed. If the worker dies, the next one on this machine goes on in
the same clone, with the state that an interrupted training has saved there.
"""

import ctypes
import fcntl
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FOLDER = "PODIUM_CLUSTER_DIR"  # set it on a machine whose folder of temporary files is small
PR_SET_PDEATHSIG = 1  # Linux, <sys/prctl.h>
BAR_SECONDS = 1.0  # a progress bar is sent on at most once in this time
TAIL = 20  # lines of a command that failed, in the error
ENDED = ("Updating lock file", "Generating lock file")  # DVC prints one of them when a stage has ended
Say = Callable[[str, str], None]  # kind (start, line, bar or log) and text


@dataclass(frozen=True)
class Job:
    """A chain of stages for one machine.

    Attributes:
        name: of the chain, without a slash.
        stages: of the chain, each after those that it reads from.
        commit: what the clone is of.
        data: the .dvc files of the commit; DVC pulls them first.
        locks: path -> content of each dvc.lock of the machine that submits.
        variables: of the environment of DVC and the stages.
    """

    name: str
    stages: tuple[str, ...]
    commit: str
    data: tuple[str, ...]
    locks: dict[str, str]
    variables: dict[str, str]


class ChainError(Exception):
    """A command of a chain has failed; the message has its last lines."""


def work(job: Job, bundle: bytes, say: Say) -> str:
    """Run a chain's stages and push each one's outputs.

    Args:
        job: the chain.
        bundle: of git, with the commit.
        say: gets everything that the commands print.

    Returns:
        logs/seconds.csv of the clone.

    Raises:
        ChainError: a command has failed; the clone stays, for its logs and what an interrupted training has saved.
    """
    base = Path(os.environ.get(FOLDER) or Path(tempfile.gettempdir(), f"podium-cluster-{os.getuid()}"))
    clone = base / job.commit[:12] / job.name
    clone.parent.mkdir(parents=True, exist_ok=True)
    say("start", socket.gethostname())
    with clone.with_name(f"{job.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the DVC of a worker that died may still be about to end
        _make(clone, base, job, bundle)
        made = Clone(clone, _variables(base, job), say, lock)
        for command, stage in commands(job):
            made.run(command, stage)
        seconds = clone / "logs/seconds.csv"
        text = seconds.read_text(encoding="utf-8") if seconds.exists() else ""
        shutil.rmtree(clone)
    return text


def commands(job: Job) -> list[tuple[tuple[str, ...], str]]:
    """Return pairs of a command and the stage that it runs, "" for none.

    A stage's outputs are pushed before its entry in the run-cache: an entry on the remote can always be restored.
    """
    found = [(("dvc", "pull", *job.data), "")] if job.data else []
    found.append((("dvc", "repro", "-s", "-f", "check"), ""))  # its output is in no cache
    for stage in job.stages:
        found += [(("dvc", "repro", "--pull", stage), stage), *((command, "") for command in pushes([stage]))]
    return found


def pushes(stages: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the commands that send stages to the remote."""
    return [("dvc", "push", *stages), ("dvc", "push", "--run-cache", *stages)]


@dataclass(frozen=True)
class Clone:
    """A chain's clone and how commands run in it.

    Attributes:
        folder: of the clone.
        variables: of the commands' environment.
        say: gets their lines.
        lock: of the clone; a command holds it too, until it ends.
    """

    folder: Path
    variables: dict[str, str]
    say: Say
    lock: IO[str]

    def run(self, command: Sequence[str], stage: str = "") -> None:
        """Run a command; lines of one that runs no stage are for the log alone.

        Raises:
            ChainError: it has failed.
        """
        self.say("log", f"> {' '.join(command)}")
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(self.lock.fileno(),),
            preexec_fn=_end_with_worker,  # noqa: PLW1509, Ray forks in the main thread, and this calls one C function
        )
        assert process.stdout is not None
        last, shown, has_begun = [""], 0.0, False
        with io.TextIOWrapper(process.stdout, encoding="utf-8", errors="backslashreplace", newline="") as pieces:
            for piece in pieces:
                text = piece.rstrip("\r\n")
                if piece.endswith("\n"):
                    has_begun = has_begun or text == f"Running stage '{stage}':"
                    if has_begun and text.startswith(ENDED) and (scores := held_out(self.folder, stage)):
                        self.say("line", scores)
                    self.say("line" if stage else "log", text)
                    last = [*last, text][-TAIL:]
                elif stage and time.monotonic() - shown > BAR_SECONDS:
                    shown = time.monotonic()
                    self.say("bar", text)
        if status := process.wait():
            said = "" if stage else "\n".join([*last, ""])  # a stage's lines have been sent
            raise ChainError(f"{said}ERROR: {' '.join(command)}: status {status} in {self.folder}")


def held_out(clone: Path, stage: str) -> str:
    """Return a training's held-out scores in one line; "" if the stage has none."""
    name, _, item = stage.partition("@")
    member, _, fold = item.rpartition("-")
    metrics = clone / f"data/{name}/{member}/{fold}.live/metrics.json"
    scores = json.loads(metrics.read_text(encoding="utf-8")).get("held_out", {}) if metrics.is_file() else {}
    text = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in scores.items())
    return f"{name}: {text}" if text else ""


def _make(clone: Path, base: Path, job: Job, bundle: bytes) -> None:
    """Make the clone, or take the one of a worker that died.

    All clones of a machine share one cache, but for the run-cache: DVC writes its files in place, so another DVC could
    read half of one.
    """
    files = base / "cache/files"
    files.mkdir(parents=True, exist_ok=True)
    if not clone.exists():
        new = clone.with_name(f"{job.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        source = clone.with_name(f"{job.name}.bundle")
        source.write_bytes(bundle)
        _git("clone", "--quiet", "--no-checkout", str(source), str(new))
        source.unlink()
        new.rename(clone)
    _git("-C", str(clone), "checkout", "--quiet", "--force", "--detach", job.commit)
    cache = clone / ".dvc/cache"
    cache.mkdir(exist_ok=True)
    if not (cache / "files").is_symlink():
        (cache / "files").symlink_to(files)
    (clone / ".dvc/config.local").write_text('[cache]\n    type = "reflink,hardlink,copy"\n', encoding="utf-8")
    for name in ("lock", "rwlock"):  # of a DVC that was killed
        (clone / ".dvc/tmp" / name).unlink(missing_ok=True)
    for path, text in job.locks.items():
        (clone / path).write_text(text, encoding="utf-8")


def _git(*words: str) -> None:
    done = subprocess.run(("git", *words), text=True, capture_output=True, check=False)
    if done.returncode:
        raise ChainError(f"ERROR: git {' '.join(words)}: {done.stderr.strip()}")


def _variables(base: Path, job: Job) -> dict[str, str]:
    """Return the environment of DVC; Ray's OMP_NUM_THREADS is left out, because torch.threads of params.yaml rules."""
    mine = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    own = {"PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {"DVC_SITE_CACHE_DIR": str(base / "site"), **mine, **own, **job.variables}


def _end_with_worker() -> None:
    """Let the end of Ray's worker end DVC; DVC's end ends the stage (podium/core/interrupts.py)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
