"""Run `dvc repro` and print little of it: `python -m tools.run`; `python -m tools.run plan` says how long it may take.

A line per stage has its time and what it found. Everything that DVC and the stages print goes to logs/<time>.log. The
exit status is DVC's. `dvc repro` by itself stays as DVC's users know it.

Signals: a Ctrl-C reaches DVC and the stage from the terminal, because all are in one group of processes, so this
process only waits for them. SIGTERM, SIGHUP and SIGUSR1 are passed on to DVC, which ends; on Linux its end ends the
stage, in order (podium/core/interrupts.py).
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from podium.core import cli
from podium.core.errors import InputError
from tools import run_estimate
from tools.run_screen import RunScreen

PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
COMMAND = ("dvc", "repro")


def main(what: str = "run", *, root: Path = Path()) -> None:
    """Run the graph and exit with DVC's status if it fails; or print the plan."""
    if what == "plan":
        text = run_estimate.sentence(run_estimate.stages(root), root)
        print(f"time: {text or 'unknown, because no stage has run here yet'}; stages that did not change take none")
    elif what != "run":
        raise InputError(f"run {what}: unknown argument; give `plan`, or nothing to run the graph")
    elif status := run(COMMAND, root):
        raise SystemExit(status)


def run(command: Sequence[str], root: Path) -> int:
    """Run a command, write all its words to a log and few to the terminal; return its exit status."""
    log = root / f"logs/{time.strftime('%Y-%m-%dT%H-%M-%S')}.log"
    log.parent.mkdir(exist_ok=True)
    screen = RunScreen(sys.stdout, root)
    size = shutil.get_terminal_size()
    shown = {"COLUMNS": str(size.columns), "LINES": str(size.lines)} if screen.is_terminal else {"PODIUM_PROGRESS": "0"}
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **shown}
    started = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert started.stdout is not None
    with passing_on(started), started.stdout as words, log.open("w", encoding="utf-8") as opened:
        for text, is_whole in pieces(words.fileno()):
            if is_whole:
                opened.write(f"{text}\n")
                opened.flush()
                screen.line(text)
            else:
                screen.progress(text)
        status = started.wait()
    status = 128 - status if status < 0 else status
    screen.finish(status, log.relative_to(root))
    return status


def pieces(stream: int) -> Iterator[tuple[str, bool]]:
    """Yield the lines of a pipe, and the states of progress bars, which end in a carriage return; True for a line."""
    rest = b""
    while chunk := os.read(stream, 65536):
        *ended, rest = re.split(rb"(?<=\n)|(?<=\r)(?!\n)", rest + chunk)
        for piece in ended:
            yield piece.rstrip(b"\r\n").decode("utf-8", "backslashreplace"), piece.endswith(b"\n")
    if rest:
        yield rest.decode("utf-8", "backslashreplace"), True


@contextlib.contextmanager
def passing_on(started: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Pass signals on to a process while the block runs; what is ignored (nohup) stays so."""

    def send(number: int, _: FrameType | None) -> None:
        started.send_signal(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *PASSED_ON)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, (lambda *_: None) if number == signal.SIGINT else send)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    cli.run(main)
