"""Reverse ETL into Salesforce: sends what changed of a week's signals and accounts for every row."""

import ctypes
import os
from contextlib import suppress

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of glibc's <malloc.h>
_LARGE_BYTES = 1024 * 1024

# Arrow reads this once, when it is loaded, which the rest of this package does. Its own pools keep what the C library's
# gives back: about 100 MB of this service's peak. Setting the pool later leaves Arrow's C++ parts with their own.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
# glibc has an arena for every thread, each of which keeps what is free, and raises the size from which blocks are given
# back at once: 16 MB of the peak. Both are set before the first thread; other C libraries have neither habit nor call.
with suppress(AttributeError):
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
