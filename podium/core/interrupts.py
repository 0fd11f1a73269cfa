"""Signals that end a stage early: Ctrl-C, SIGTERM, a closed terminal, and SIGUSR1, which Slurm sends on request.

The first signal raises StopSignal in the main thread. So every `with` and `finally` runs: temporary files go, worker
processes end, and a training writes its state. After that a second Ctrl-C ends the process at once.

Python drops an error that is raised in a destructor. StopSignal is then raised again, a moment later.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
AGAIN = 0.05  # seconds until a StopSignal that was dropped is raised again
PR_SET_PDEATHSIG = 1  # Linux, <sys/prctl.h>
_received: list[int] = []  # the signal that is ending this process


class StopSignal(BaseException):  # no Exception, which libraries catch
    """A signal has asked this process to end.

    Attributes:
        name: e.g. "SIGTERM".
        status: the exit status that shells give, 128 + the signal's number.
        advice: what the user can do next.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name, self.status = signal.Signals(number).name, 128 + number
        again = "`make` or `dvc repro` runs this stage again"
        self.advice = again if "DVC_STAGE" in os.environ else "run the command again"


@contextmanager
def watched() -> Iterator[None]:
    """Raise StopSignal at the first of SIGNALS while the block runs; signals that are ignored stay ignored (nohup).

    On Linux the end of DVC ends the stage too, as SIGTERM would: DVC passes no signal on, and a stage that outlived DVC
    would write beside the next run.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    for number in SIGNALS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, _stop)
    signal.signal(signal.SIGALRM, lambda *_: check())
    hook, sys.unraisablehook = sys.unraisablehook, _raise_again
    try:
        if sys.platform == "linux" and "DVC_STAGE" in os.environ:
            _end_with_dvc()
        yield
        check()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        _received.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def check() -> None:
    """Raise StopSignal again if a signal came and a library caught the error."""
    if _received:
        raise StopSignal(_received[0])


def leave_to_parent() -> None:
    """In a worker process, ignore what the parent reacts to, but for SIGTERM, with which a parent ends its workers.

    A parent may end while it takes an image from a worker. Then Python's thread in the worker that hands images over
    would print a traceback.
    """
    for number in set(SIGNALS) - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _print_unless_disconnected


def _print_unless_disconnected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _stop(number: int, _frame: FrameType | None) -> None:
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # e.g. SIGTERM to all processes, and then the end of DVC
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _received.append(number)
    raise StopSignal(number)


def _raise_again(dropped: "sys.UnraisableHookArgs") -> None:
    if isinstance(dropped.exc_value, StopSignal):
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
    else:
        sys.__unraisablehook__(dropped)


def _end_with_dvc() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    with suppress(OSError):  # DVC may have ended before the line above
        if os.getppid() == 1 and b"dvc" not in Path("/proc/1/cmdline").read_bytes():
            os.kill(os.getpid(), signal.SIGTERM)
