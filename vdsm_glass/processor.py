"""What makes training steps on a CPU faster: a setting of the C library's allocator, and a precision that it has."""

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


def precision_here(precision: str, *, accelerator: str) -> str:
    """The precision to compute in: float32 in place of bfloat16 on a CPU without instructions for it.

    A step of GLASS in its first phase, 8 pairs of 96x128, took 11.8 s in bfloat16 and 1.2 s in float32 on one thread
    of an AMD EPYC with AVX2 alone (2026-11-26, `vdsm-glass fit --config experiments/glass/w_sprites/compact.yaml`).

    Args: precision, accelerator: as Lightning's trainer takes them.
    """
    import torch

    cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    return "32-true" if precision == "bf16-mixed" and cpu and not has_bfloat16() else precision


def has_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16 without converting every number."""
    import torch

    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
