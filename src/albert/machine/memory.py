"""Settings of the C allocator, and the peak memory. Training allocates the same large tensors in every step."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


@cache
def keep_freed_memory() -> bool:
    """Makes glibc reuse freed blocks of any size instead of returning them. False without glibc.

    Otherwise each large tensor is mapped anew and the kernel clears its pages, which takes 1.1 to 2 times the step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # TypeError: Windows has no CDLL(None)
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 2**30)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def peak_memory() -> int | None:
    """The most memory that this process has used, in bytes; None if the system does not report it."""
    try:  # getrusage would count what the process before an exec had
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
