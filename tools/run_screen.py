"""What a user reads of a run: a line per stage, its progress bar on a terminal, and all warnings once, at the end."""

import json
import re
import shutil
import time
from pathlib import Path
from typing import TextIO

from tools import run_estimate

RUNNING = re.compile(r"Running stage '(?:.*:)?(.+)':$")
UNCHANGED = re.compile(r"(?:Stage )?'(?:.*:)?(.+)' (?:didn't change, skipping|is cached - skipping run.*)$")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WARNING = re.compile(r"\bWARNING\b|Warning:")
BAR = re.compile(r"\d+%\|")
NAME_WIDTH, TAIL = 28, 40
HINTS = ("> ", "Updating lock file", "Generating lock file", "To track the changes", "\tgit add", "To enable auto",
         "\tdvc config", "Use `dvc push`", "Verifying data sources")  # fmt: skip


class RunningStage:
    """A stage that runs, or that has failed: what the screen knows of it."""

    def __init__(self, name: str) -> None:
        self.name, self.started = name, time.monotonic()
        self.bar = ""
        self.lines: list[str] = []

    @property
    def state(self) -> str:
        """Return its name, its time and its progress bar."""
        return "  ".join(filter(None, [self.name, run_estimate.duration(time.monotonic() - self.started), self.bar]))

    @property
    def short_state(self) -> str:
        """Return its name and how much of it is done."""
        percent = BAR.search(self.bar)
        return f"{self.name} {percent[0][:-1] if percent else ''}".rstrip()


class RunScreen:
    """Turns the lines of one or several `dvc repro` into few lines.

    Args:
        out: what the user reads.
        root: of the project.

    Attributes:
        n_jobs: processes at once.
        outputs: the folder with the stages' outputs.
    """

    def __init__(self, out: TextIO, root: Path) -> None:
        self.out, self.root = out, root
        self.is_terminal = out.isatty()
        self.warnings: list[str] = []
        self.remaining = dict.fromkeys(run_estimate.stages(root))  # stages that DVC has not named yet
        self.n_jobs, self.outputs = 1, root
        self._unchanged: set[str] = set()
        self._ran: set[str] = set()
        self._is_shown, self._left = False, ""
        self._running: dict[str, RunningStage] = {}  # by the process's name; of name "" between two stages
        self._failed: list[RunningStage] = []

    def line(self, text: str, child: str = "") -> None:
        """Take a finished line of DVC or of a stage, and the name of DVC's process."""
        text = CONTROL.sub("", text).rstrip()
        stage = self._running.setdefault(child, RunningStage(""))
        if named := RUNNING.match(text) or UNCHANGED.match(text):
            self._end_stage(child)
            self.remaining.pop(named[1], None)
            if named.re is UNCHANGED:
                self._unchanged.add(named[1])
            else:
                self._ran.add(named[1])
                self._running[child] = RunningStage(named[1])
                names = [one.name for one in self._running.values() if one.name]
                self._left = run_estimate.sentence([*names, *self.remaining], self.root, self.n_jobs)
                self.progress("", child)
        elif text.startswith(("Updating lock file", "Generating lock file")):
            self._end_stage(child)
        elif text and not text.startswith(HINTS):
            stage.lines.append(text)
            if is_warning(text) and text not in self.warnings:
                self.warnings.append(text)

    def progress(self, bar: str, child: str = "") -> None:
        """Show the running stages, their bars and the time left, in one line that the next one overwrites."""
        if not self.is_terminal or child not in self._running or not self._running[child].name:
            return
        self._running[child].bar = CONTROL.sub("", bar).strip()
        stages = [one for one in self._running.values() if one.name]
        states = [stages[0].state] if len(stages) == 1 else [one.short_state for one in stages]
        text = "  ".join(filter(None, [*states, self._left]))
        self._write(text[: shutil.get_terminal_size().columns - 1], end="")
        self._is_shown = True

    def end_child(self, status: int, child: str = "") -> None:
        """Take the end of a process of DVC."""
        if status:
            self._failed.append(self._running.pop(child, RunningStage(child)))
        else:
            self._end_stage(child)
            self._running.pop(child, None)

    def forget_child(self, child: str) -> None:
        """Take that a process has vanished; another one of its name begins again."""
        self._running.pop(child, None)

    def _end_stage(self, child: str) -> None:
        """Write the line of a stage that has ended."""
        stage = self._running[child] if child in self._running else RunningStage("")
        self._running[child] = RunningStage("")
        if stage.name:
            taken = run_estimate.duration(time.monotonic() - stage.started)
            left = "" if self.is_terminal else run_estimate.sentence(self.remaining, self.root, self.n_jobs)
            what = found(stage.name, stage.lines, self.outputs) + (f"  ({left})" if left else "")
            text = f"{stage.name:{NAME_WIDTH}} {taken:>7}  {what}".rstrip()
            self._write(cut(text, shutil.get_terminal_size().columns) if self.is_terminal else text)

    def finish(self, status: int, log: Path) -> None:
        """Write how the run ended: what failed, or the warnings of all stages, and where everything stands."""
        failed = self._failed[0].lines[-TAIL:] if status and self._failed else []
        for stage in reversed(self._failed if status else []):
            if stage.name:
                self._write(f"{stage.name}: did not finish{':' if stage is self._failed[0] else ''}")
        for text in failed:
            self._write(text)
        if unchanged := self._unchanged - self._ran:
            self._write(f"stages that did not change: {len(unchanged)}")
        for text in [text for text in self.warnings if text not in failed]:
            self._write(text)
        self._write(f"all that was printed: {log}")

    def _write(self, text: str, end: str = "\n") -> None:
        clear = "\r\x1b[K" if self._is_shown or (self.is_terminal and not end) else ""
        self._is_shown = False
        try:
            print(f"{clear}{text}", end=end, file=self.out, flush=True)
        except OSError:  # a closed terminal: the log goes on
            self.out = Path("/dev/null").open("w", encoding="utf-8")  # noqa: SIM115


def found(stage: str, lines: list[str], root: Path) -> str:
    """Return what a stage found in one line: a training's held-out scores, else the last line that it printed."""
    name, _, item = stage.partition("@")
    member, _, fold = item.rpartition("-")
    metrics = root / f"data/{name}/{member}/{fold}.live/metrics.json"
    if member and metrics.is_file():
        held_out = json.loads(metrics.read_text(encoding="utf-8")).get("held_out", {})
        if held_out:
            return ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in held_out.items())
    said = [text for text in lines if text.startswith(name) and not BAR.search(text) and not is_warning(text)]
    return said[-1].partition(": ")[2] if said else ""


def is_warning(text: str) -> bool:
    """Say whether a line warns: a stage marks it by WARNING, Python by a name such as UserWarning."""
    return WARNING.search(text) is not None


def cut(text: str, width: int) -> str:
    """Return the text, shortened to a width; dots say that something is missing."""
    return text if len(text) <= width else f"{text[: width - 3].rstrip()}..."
