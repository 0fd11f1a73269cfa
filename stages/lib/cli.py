"""Run a stage's `main` from the command line; show a person's mistake without a traceback."""

import inspect
import sys
from collections.abc import Callable

from stages.lib.errors import InputError, legible


def run(main: Callable[..., None]) -> None:
    """Call `main` with the command line's words; exit with 1 and the message on an InputError."""
    try:
        inspect.signature(main).bind(*sys.argv[1:])
    except TypeError as error:
        print(f"ERROR: {sys.argv[1:]}: {error}; dvc.yaml shows each stage's command", file=sys.stderr, flush=True)
        raise SystemExit(2) from None
    try:
        main(*sys.argv[1:])
    except InputError as error:
        lines = [legible(line) for line in str(error).split("\n")]  # it may name files as they are
        print("ERROR:", "\n".join(lines), file=sys.stderr, flush=True)
        raise SystemExit(1) from None
