"""A bound on the time of torch.compile, which otherwise may compile a large network for an hour without a word.

The environment variable `PODIUM_COMPILE_SECONDS` sets the bound. It is no setting, because it must not change any
output: a training that went on without compiling would end with other last digits, and whether it did would depend on
the machine's load. So the training ends with an error.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

from podium.core.errors import InputError

VARIABLE, DEFAULT_SECONDS = "PODIUM_COMPILE_SECONDS", 1800
SECONDS_BETWEEN_LOOKS = 1.0


class CompileWatch:
    """A context manager for each call that may compile; the process ends if one takes too long.

    torch compiles where no signal handler of Python runs, so a thread watches and ends the process.

    Args:
        name: of the training, for the error.
        seconds: that one call may take.
        end: called with the error's text; does not return.
    """

    def __init__(self, name: str, seconds: float, end: Callable[[str], None]) -> None:
        self._name, self._seconds, self._end = name, seconds, end
        self._deadline: float | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self) -> None:
        """Begin a call."""
        self._deadline = time.monotonic() + self._seconds

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the call."""
        self._deadline = None

    def _watch(self) -> None:
        while True:
            time.sleep(min(SECONDS_BETWEEN_LOOKS, self._seconds))
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                self._end(
                    f"{self._name}: torch.compile takes longer than {self._seconds:g} seconds; set params.yaml:"
                    f" `compile: false` for this member, or {VARIABLE} higher"
                )
                return


def watch(name: str) -> CompileWatch:
    """Return the watch of a training.

    Raises:
        InputError: PODIUM_COMPILE_SECONDS is not a whole number above 0.
    """
    wanted = os.environ.get(VARIABLE, "") or str(DEFAULT_SECONDS)
    if not wanted.isdecimal() or not int(wanted):
        raise InputError(f"{VARIABLE} is {wanted!r}: give a whole number of seconds above 0, or unset it")
    return CompileWatch(name, int(wanted), _end_process)


def _end_process(message: str) -> NoReturn:
    print("ERROR:", message, file=sys.stderr, flush=True)
    os._exit(1)
