"""What a person reads of a run: a line per stage, its progress bar on a terminal, and all warnings once, at the end."""

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
BAR = re.compile(r"\d%\|")
NAME_WIDTH, TAIL, WIDTH = 28, 40, 200
HINTS = ("> ", "Updating lock file", "Generating lock file", "To track the changes", "\tgit add", "To enable auto",
         "\tdvc config", "Use `dvc push`", "Verifying data sources")  # fmt: skip


class RunScreen:
    """Turns the lines of `dvc repro` into few lines.

    Args:
        out: what the person reads.
        root: of the project.
    """

    def __init__(self, out: TextIO, root: Path) -> None:
        self.out, self.root = out, root
        self.is_terminal = out.isatty()
        self.warnings: list[str] = []
        self.remaining = dict.fromkeys(run_estimate.stages(root))  # stages that DVC has not named yet
        self.n_unchanged, self._is_shown = 0, False
        self._stage, self._left, self._started = "", "", 0.0
        self._lines: list[str] = []  # of the running stage

    def line(self, text: str) -> None:
        """Take a finished line of DVC or of a stage."""
        text = CONTROL.sub("", text).rstrip()
        if named := RUNNING.match(text) or UNCHANGED.match(text):
            self.end_stage()
            self.remaining.pop(named[1], None)
            if named.re is UNCHANGED:
                self.n_unchanged += 1
            else:
                self._stage, self._started, self._lines = named[1], time.monotonic(), []
                self._left = run_estimate.sentence([self._stage, *self.remaining], self.root)
                self.progress("")
        elif text.startswith(("Updating lock file", "Generating lock file")):
            self.end_stage()
        elif text and not text.startswith(HINTS):
            self._lines.append(text)
            if is_warning(text) and text not in self.warnings:
                self.warnings.append(text)

    def progress(self, bar: str) -> None:
        """Show the running stage, its bar and the time left, in one line that the next one overwrites."""
        if not self.is_terminal or not self._stage:
            return
        words = (self._stage, run_estimate.duration(time.monotonic() - self._started), CONTROL.sub("", bar).strip())
        text = "  ".join(filter(None, [*words, self._left]))
        self._write(text[: shutil.get_terminal_size().columns - 1], end="")
        self._is_shown = True

    def end_stage(self) -> None:
        """Write the line of a stage that has ended."""
        if self._stage:
            taken = run_estimate.duration(time.monotonic() - self._started)
            left = "" if self.is_terminal else run_estimate.sentence(self.remaining, self.root)
            what = found(self._stage, self._lines, self.root) + (f"  ({left})" if left else "")
            width = shutil.get_terminal_size().columns if self.is_terminal else WIDTH
            self._write(f"{self._stage:{NAME_WIDTH}} {taken:>7}  {what}"[:width].rstrip())
        self._stage, self._lines = "", []

    def finish(self, status: int, log: Path) -> None:
        """Write how the run ended: what failed, or the warnings of all stages, and where everything stands."""
        failed = self._lines[-TAIL:] if status else []
        if status and self._stage:
            self._write(f"{self._stage}: did not finish:")
        for text in failed:
            self._write(text)
        if not status:
            self.end_stage()
        if self.n_unchanged:
            self._write(f"stages that did not change: {self.n_unchanged}")
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
    """Say whether a line warns, by its words."""
    return "warning" in text.lower()
