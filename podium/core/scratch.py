"""Arrays that are too many to stay in memory: kept in an unnamed temporary file that the system pages in and out."""

import mmap
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALL = 8 * 2**20  # bytes: arrays up to this size stay where they are


def kept(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, or where it is large a copy of it in a file that goes when the copy does."""
    if array.nbytes <= SMALL:
        return array
    with tempfile.TemporaryFile() as file:
        copy: NDArray[Any] = np.memmap(file, dtype=array.dtype, mode="w+", shape=array.shape)
    copy[:] = array
    release(copy)
    return copy


def release(array: NDArray[Any]) -> None:
    """Take a kept array's pages out of the process's memory until they are asked for again; no-op for others."""
    if isinstance(array, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):  # Linux; what was written stays in the file
        array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
