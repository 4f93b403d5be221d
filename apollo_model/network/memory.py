"""Settings of glibc's allocator: keep freed memory (training) or return it (restoring).

A training step frees gigabytes and soon allocates them again. By default glibc returns large
blocks to the system, which must then map and clear new pages each time. On a busy virtual machine
steps took 4.5 to 97 s that way, and 3.7 to 11.5 s with the memory kept.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4
_NEVER = 2**31 - 1
_TOP_PAD_BYTES = 64 << 20
_KEPT_BYTES = 128 << 20
_LEAST_LARGE_BYTES, _MOST_LARGE_BYTES = 8 << 20, 32 << 20  # glibc takes no more than 32 MB


def keep_freed_memory() -> bool:
    """Make glibc's allocator keep freed memory; return False where there is no glibc."""
    return _set_malloc((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _TOP_PAD_BYTES))


def return_large_blocks(kept_bytes: int) -> bool:
    """Make glibc return large blocks to the system at once; return False without glibc.

    By default it learns to keep blocks of up to 32 MB. Over a long file the heap between them
    then fragments and grows. Blocks of up to `kept_bytes`, which are allocated many times a
    second, are still kept.
    """
    large = min(max(kept_bytes + 1, _LEAST_LARGE_BYTES), _MOST_LARGE_BYTES)
    return _set_malloc((_M_MMAP_THRESHOLD, large), (_M_TRIM_THRESHOLD, _KEPT_BYTES))


def _set_malloc(*settings: tuple[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return all(mallopt(name, value) == 1 for name, value in settings)
