"""How Arrow is to behave in a process that shares the machine with others like it."""

import pyarrow as pa


def keep_small() -> None:
    """One thread, and memory given back when it is free: Arrow's own pools keep a third more than the C library's."""
    pa.set_cpu_count(1)
    pa.set_memory_pool(pa.system_memory_pool())
