"""How the C library keeps memory that was freed, by glibc's `mallopt`; elsewhere nothing is set.

As it comes, each thread has a heap of its own, and the size from which a block is mapped by itself
rises with the blocks that are freed, so what a large picture needed stays with the process.
"""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Of malloc.h."""
SETTINGS = {ARENA_MAX: 1, MMAP_THRESHOLD: 1 << 20, TRIM_THRESHOLD: 64 << 20}


def give_memory_back() -> bool:
    """Let this process keep little of what it freed; whether its C library could be told."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows
        return False
    return all(mallopt(key, value) for key, value in SETTINGS.items())
