"""The C library's allocator: memory that is freed stays with the process."""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_THRESHOLD = 32 * 2**20
"""The largest block that glibc takes from the heap and does not map for itself."""


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next tensors of this process.

    This has no effect where the C library is not glibc, or where a variable `MALLOC_...` of the environment sets it.

    By default glibc maps each larger block for itself and gives it back when it is freed. A network frees and takes the
    same blocks in each step, and each time the system clears all of their pages. Blocks above 32 MiB are still mapped:
    glibc allows no higher threshold, and without one the heap grew by a third in the training of an encoder.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, -1)  # never
