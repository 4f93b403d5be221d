"""What glibc's allocator does with freed memory: keeps it for training, or gives it back.

A training step frees gigabytes and asks for them again at once. By default glibc returns
large blocks to the system, which must find and clear them anew each time. On a busy
virtual machine steps took 4.5 to 97 s that way, and 3.7 to 11.5 s with the memory kept.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4
_NEVER = 2**31 - 1
_TOP_PAD_BYTES = 64 << 20
_KEPT_BYTES = 128 << 20
_LEAST_LARGE_BYTES, _MOST_LARGE_BYTES = 8 << 20, 32 << 20  # glibc takes no more than 32 MB


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed; return False where there is no glibc."""
    return _set_malloc((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _TOP_PAD_BYTES))


def return_large_blocks(kept_bytes: int) -> bool:
    """Tell glibc to give large blocks back at once; return False where there is no glibc.

    By default it learns to keep blocks of up to 32 MB, and what lies scattered between them
    adds up over a long file. Those of up to `kept_bytes`, of which there are many a second, are
    still kept.
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
