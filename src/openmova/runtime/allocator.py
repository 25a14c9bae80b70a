"""How the C library keeps memory that was freed, by glibc's `mallopt`; elsewhere nothing is set.

As it comes, each thread has a heap of its own, and the size from which a block is mapped by itself
rises with the blocks that are freed, so what a large picture needed stays with the process.
"""

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Of malloc.h."""
SETTINGS = {ARENA_MAX: 1, MMAP_THRESHOLD: 1 << 20, TRIM_THRESHOLD: 64 << 20}
VARIABLES = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
"""With which users say the same."""


def give_memory_back() -> bool:
    """Let this process keep little of what it freed, unless the user has said how much.

    Returns whether its C library could be told. For inference: a training step is slower with it.
    """
    if any(variable in os.environ for variable in VARIABLES):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows
        return False
    return all(mallopt(key, value) for key, value in SETTINGS.items())
