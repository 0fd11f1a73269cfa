"""Run a stage's `main` from the command line; show a person's mistake without a traceback."""

import gc
import inspect
import sys
from collections.abc import Callable

from podium.core.errors import InputError, legible

# Importing torch and timm makes two million objects that stay; Python's own limits (700, 10, 10) look through them
# again and again: two seconds. compute.start goes back to those.
RARELY = (100_000, 10, 10)


def run(main: Callable[..., None]) -> None:
    """Call `main` with the command line's words; exit with 1 and the message on an InputError."""
    try:
        inspect.signature(main).bind(*sys.argv[1:])
    except TypeError as error:
        print(f"ERROR: {sys.argv[1:]}: {error}; dvc.yaml shows each stage's command", file=sys.stderr, flush=True)
        raise SystemExit(2) from None
    gc.set_threshold(*RARELY)
    try:
        main(*sys.argv[1:])
    except InputError as error:
        lines = [legible(line) for line in str(error).split("\n")]  # it may name files as they are
        print("ERROR:", "\n".join(lines), file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    finally:
        gc.freeze()  # nor once more, for a second, as the process ends
