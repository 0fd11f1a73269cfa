"""The number of worker processes: an environment variable, because it must not change any output."""

import os

from podium.core.errors import InputError


def count(default: int) -> int:
    """Return `PODIUM_WORKERS`, or `default` if it is not set.

    Raises:
        InputError: it is not a whole number.
    """
    wanted = os.environ.get("PODIUM_WORKERS", "")
    if wanted and not wanted.isdecimal():
        raise InputError(f"PODIUM_WORKERS is {wanted!r}: give a whole number of processes, or unset it")
    return int(wanted) if wanted else default
