"""Arrays that do not fit in memory together: unnamed temporary files that the system pages in and out."""

import mmap
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALL = 8 * 2**20  # bytes: arrays up to this size stay in memory


def on_disk(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array itself if it is small or on disk, else a copy in a temporary file that ends with the copy."""
    if array.nbytes <= SMALL or isinstance(array, np.memmap):
        return array
    with tempfile.TemporaryFile() as file:
        copy: NDArray[Any] = np.memmap(file, dtype=array.dtype, mode="w+", shape=array.shape)
    copy[:] = array
    release(copy)
    return copy


def release(array: NDArray[Any]) -> None:
    """Free the memory of an array of `on_disk` until it is read again; do nothing for other arrays."""
    if isinstance(array, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):  # Linux; the file keeps the values
        array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
