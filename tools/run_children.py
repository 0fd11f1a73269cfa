"""The processes of DVC that `make` runs, one or several at once: their words are read as they come.

Signals: a Ctrl-C reaches DVC and the stages from the terminal, because all are in one group of processes, so this
process only waits for them. SIGTERM, SIGHUP and SIGUSR1 are passed on to DVC, which ends; on Linux its end ends the
stage, in order (podium/core/interrupts.py).
"""

import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Self, TextIO

from tools.run_screen import RunScreen

PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Child:
    """A process whose output is read in pieces.

    Args:
        name: what the log writes before each of its lines; "" for nothing.
        command: its words.
        root: its folder.
        environment: its variables.
    """

    def __init__(self, name: str, command: Sequence[str], root: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self.process.stdout is not None
        self.words = self.process.stdout
        self.rest = b""

    def read(self) -> Iterator[tuple[str, bool]] | None:
        """Return the lines that have come, and the states of progress bars, which end in a carriage return.

        Returns:
            pairs of a text and whether it is a line; None at the end of the output.
        """
        chunk = os.read(self.words.fileno(), 65536)
        *ended, self.rest = re.split(rb"(?<=\n)|(?<=\r)(?!\n)", self.rest + chunk) if chunk else (b"",)
        return map(_decoded, ended) if chunk else None

    def end(self) -> int:
        """Wait for the end; return the exit status as shells give it."""
        self.words.close()
        status = self.process.wait()
        return 128 - status if status < 0 else status


def _decoded(piece: bytes) -> tuple[str, bool]:
    return piece.rstrip(b"\r\n").decode("utf-8", "backslashreplace"), piece.endswith(b"\n")


class Children:
    """All processes of a run, its log and its screen; a context that passes signals on to the processes.

    Args:
        root: of the project.
        out: what the user reads.

    Attributes:
        is_stopped: whether a signal has come or a process has failed, so that nothing new should start.
        log_file: of all that is printed, open within the context.
    """

    def __init__(self, root: Path, out: TextIO) -> None:
        self.root, self.screen, self.is_stopped = root, RunScreen(out, root), False
        self.log = root / f"logs/{time.strftime('%Y-%m-%dT%H-%M-%S')}.log"
        self.log.parent.mkdir(exist_ok=True)
        self._running: list[Child] = []
        size = shutil.get_terminal_size()
        shown = {"COLUMNS": str(size.columns), "LINES": str(size.lines)}
        wanted = os.environ.get("PODIUM_PROGRESS", "1")
        self._environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            **(shown if self.screen.is_terminal else {}),
            "PODIUM_PROGRESS": wanted if self.screen.is_terminal else "0",
        }

    def __enter__(self) -> Self:
        """Open the log and take the signals; what is ignored (nohup) stays so."""
        self.log_file = self.log.open("w", encoding="utf-8")
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, *PASSED_ON)}
        for number, handler in self._before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs, and give the signals back."""
        self.stop()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.log_file.close()

    @property
    def n_running(self) -> int:
        """Return the number of processes that have not ended."""
        return len(self._running)

    def run(self, command: Sequence[str]) -> int:
        """Run one command alone; return its exit status."""
        if self.is_stopped:
            return 128 + signal.SIGINT
        self.start("", command)
        return self.wait()[1]

    def start(self, name: str, command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        """Start a command with more variables of the environment."""
        self._running.append(Child(name, command, self.root, self._environment | dict(variables or {})))

    def wait(self) -> tuple[str, int]:
        """Read what the processes print until one of them ends; return its name and its exit status."""
        with selectors.DefaultSelector() as selector:
            for child in self._running:
                selector.register(child.words, selectors.EVENT_READ, child)
            while True:
                for key, _ in selector.select():
                    child = key.data
                    pieces = child.read()
                    if pieces is None:
                        return child.name, self._end(child)
                    for text, is_line in pieces:
                        self.take(child.name, text, is_line)

    def read(self, command: Sequence[str]) -> str:
        """Run a command and return what it prints; "" if it fails, and then the log has why."""
        done = subprocess.run(
            command, cwd=self.root, env=self._environment, text=True, capture_output=True, check=False
        )
        if done.returncode:
            self.log_file.write(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return "" if done.returncode else done.stdout

    def take(self, name: str, text: str, is_line: bool) -> None:
        """Take what a process has printed, a line or the state of a progress bar."""
        if is_line:
            self.write_log(name, text)
            self.screen.line(text, name)
        else:
            self.screen.progress(text, name)

    def write_log(self, name: str, text: str) -> None:
        """Write a line to the log alone."""
        self.log_file.write(f"{name}: {text}\n" if name else f"{text}\n")
        self.log_file.flush()

    def stop(self) -> None:
        """Ask all processes to end, where their end ends their stages; elsewhere they finish."""
        self.is_stopped = True
        if sys.platform == "linux":
            self._send(signal.SIGTERM)

    def _end(self, child: Child) -> int:
        self._running.remove(child)
        if child.rest:
            self.take(child.name, *_decoded(child.rest + b"\n"))
        status = child.end()
        self.screen.end_child(status, child.name)
        return status

    def _receive(self, number: int, _: FrameType | None) -> None:
        self.is_stopped = True
        if number != signal.SIGINT:
            self._send(number)

    def _send(self, number: int) -> None:
        for child in self._running:
            child.process.send_signal(number)
