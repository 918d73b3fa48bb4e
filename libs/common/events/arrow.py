"""How Arrow is to behave in a process that shares the machine with others like it."""

import ctypes
from contextlib import suppress
from typing import Final

import pyarrow as pa

# Of <malloc.h>.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 4 * 1024 * 1024
_SPARE_BYTES: Final = 32 * 1024 * 1024


def keep_small() -> None:
    """One thread, and memory given back when it is free.

    Arrow's own pools keep a third more than the C library's. That one raises, with every large block that is freed, the
    size from which blocks are given back, so that columns come to lie in a heap that never shrinks; a size that is set
    stays. What is free at the heap's end is kept for the next batch, up to a limit: by default so little that every
    batch asks the kernel for its memory anew. (glibc; other C libraries have no such habits and no such call.)
    """
    pa.set_cpu_count(1)
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(AttributeError):
        tune = ctypes.CDLL(None).mallopt
        tune(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        tune(_M_TRIM_THRESHOLD, _SPARE_BYTES)
