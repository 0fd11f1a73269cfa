"""Keep freed memory in this process, where the same large blocks are needed again and again."""

import ctypes
import sys
from functools import cache

ALL = -1  # bytes: keep all
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of glibc's mallopt (malloc.h)


@cache
def keep(most: int = ALL) -> None:
    """Make glibc keep freed memory, for the whole process; without glibc nothing happens.

    Otherwise each training step and each decoded image gets its large blocks from the kernel, which fills them with
    zeros. That took up to half of the time of a convolutional network's training on a CPU (docs/log.md, 2026-11-26) and
    a sixth of decoding a photo of 12 megapixels (docs/speed.md).

    Args:
        most: bytes at the end of the heap that are kept, below 2 ** 31.

    Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)  # large blocks come from the heap, too
        mallopt(_TRIM_THRESHOLD, most)
