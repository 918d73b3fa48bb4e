"""How Arrow is to behave in a process that shares the machine with others like it."""

import ctypes
from contextlib import suppress
from typing import Final

import pyarrow as pa

_M_MMAP_THRESHOLD: Final = -3  # of <malloc.h>
_LARGE_BYTES: Final = 1024 * 1024


def keep_small() -> None:
    """One thread, and memory given back when it is free.

    Arrow's own pools keep a third more than the C library's. That one raises, with every large block that is freed, the
    size from which blocks are given back, so that columns come to lie in a heap that never shrinks; a size that is set
    stays. (glibc; other C libraries have no such habit and no such call.)
    """
    pa.set_cpu_count(1)
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
