"""Run a stage's `main` from the command line; show a user's mistake without a traceback."""

import errno
import gc
import inspect
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

from podium.core import interrupts
from podium.core.errors import InputError, legible
from podium.core.stage_times import log_seconds

# Importing torch and timm makes two million objects that stay. With Python's default limits (700, 10, 10) the garbage
# collector searches them again and again, which costs two seconds. podium.models.devices.start restores the defaults.
RARELY = (100_000, 10, 10)
NO_SPACE = os.strerror(errno.ENOSPC)


def run(main: Callable[..., None]) -> None:
    """Call `main` with the command line's arguments; on an InputError print its message and exit with status 1.

    So are a full disk and a signal that ends the process: an error of one line. A signal's status is 128 + its number.
    """
    try:
        inspect.signature(main).bind(*sys.argv[1:])
    except TypeError as error:
        print(f"ERROR: {sys.argv[1:]}: {error}; dvc.yaml shows each stage's command", file=sys.stderr, flush=True)
        raise SystemExit(2) from None
    gc.set_threshold(*RARELY)
    for stream in (sys.stdout, sys.stderr):  # a terminal that is not UTF-8 cannot print every label
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with interrupts.watched():
            main(*sys.argv[1:])
    except interrupts.StopSignal as stop:
        print(f"ERROR: ended by {stop.name}: {stop.advice}", file=sys.stderr, flush=True)
        raise SystemExit(stop.status) from None
    except InputError as error:
        lines = [legible(line) for line in str(error).split("\n")]  # file names may hold control characters
        print("ERROR:", "\n".join(lines), file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    except Exception as error:
        if NO_SPACE not in str(error):  # OSError of Python, SafetensorError of safetensors, ArrowException of pyarrow
            raise
        advice = "make room (workers need it in /dev/shm, or set PODIUM_WORKERS=0); then `dvc repro` goes on"
        print(f"ERROR: {legible(str(error))}: {advice}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    else:
        log_seconds(Path(sys.argv[0]), sys.argv[1:])
    finally:
        gc.freeze()  # saves a last search of one second when the process ends
