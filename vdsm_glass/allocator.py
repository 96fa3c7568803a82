"""A setting of the C library's allocator that makes training steps on a CPU faster."""

from __future__ import annotations

import ctypes
import platform

# malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory for the next step instead of returning it to the system.

    By default every tensor over 32 MB is mapped anew in every step, and the kernel zeroes each of its pages. A
    pretraining step of VDSM's decoder at full width (B 20, T 8, K 40, with Adam) took 1.9 s of one CPU thread instead
    of 3.1 s, at a resident set of 3.8 GB instead of 3.1 GB, which then never shrinks. The setting is for the whole
    process and best made before anything large is allocated.

    Returns: whether it took effect, which it does only with glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_MAX, 0)) and bool(libc.mallopt(M_TRIM_THRESHOLD, -1))
