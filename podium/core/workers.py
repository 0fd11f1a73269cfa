"""Worker processes: their number, an environment variable because it must not change any output; their sockets."""

import os
import tempfile
from multiprocessing import util

from podium.core.errors import InputError

LONGEST_FOLDER = 60  # bytes; a socket's path may have 103 on macOS and 107 on Linux, and Python adds 32
SHORT_FOLDER = "/tmp"


def cores() -> int:
    """Return the number of cores that this process may use; taskset, Slurm and docker's --cpuset-cpus limit them."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count(default: int) -> int:
    """Return `PODIUM_WORKERS`, or `default` if it is not set.

    Raises:
        InputError: it is not a whole number.
    """
    wanted = os.environ.get("PODIUM_WORKERS", "")
    if wanted and not wanted.isdecimal():
        raise InputError(f"PODIUM_WORKERS is {wanted!r}: give a whole number of processes, or unset it")
    return int(wanted) if wanted else default


def make_socket_folder() -> None:
    """Give this process's workers a folder for their sockets whose path is short enough, if TMPDIR's is not.

    Python makes the folder when the first worker starts, inside of tempfile's folder, and keeps to it.

    Raises:
        InputError: TMPDIR is too long, and no folder can be made in SHORT_FOLDER.
    """
    given = tempfile.gettempdir()
    if len(os.fsencode(given)) <= LONGEST_FOLDER:
        return
    before, tempfile.tempdir = tempfile.tempdir, SHORT_FOLDER
    try:
        util.get_temp_dir()
    except OSError as error:
        raise InputError(
            f"the folder for temporary files, {given}, is too long for worker processes, and {SHORT_FOLDER} cannot be"
            f" used: {error.strerror}; set TMPDIR to a short path, or PODIUM_WORKERS=0"
        ) from None
    finally:
        tempfile.tempdir = before
