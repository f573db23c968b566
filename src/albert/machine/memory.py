"""What the C allocator keeps and gives back, and the peak memory."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


@cache
def keep_freed_memory() -> bool:
    """Makes glibc reuse freed blocks of any size instead of returning them. False without glibc.

    Training allocates large tensors in every step. Otherwise each of them is mapped anew and the kernel clears its
    pages, which takes 1.1 to 2 times the step.
    """
    set_option = _function("mallopt")
    if set_option is None:
        return False
    return bool(set_option(_M_MMAP_THRESHOLD, 2**30)) and bool(set_option(_M_TRIM_THRESHOLD, 2**31 - 1))


def give_back() -> None:
    """Returns free pages to the system, wherever they are. Does nothing without glibc."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(ctypes.c_size_t(0))


class Tidy:
    """Gives free memory back when it is called, at most once in `seconds`.

    Tensors of ever other sizes leave ever more free pieces between those in use.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._last = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._last >= self.seconds:
            give_back()
            self._last = time.monotonic()


def _function(name: str) -> Callable[..., int] | None:
    """A function of the C library; None if it has none of this name."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):  # Windows has no CDLL(None)
        return None


def peak_memory() -> int | None:
    """The most memory that this process has used, in bytes; None if the system does not report it."""
    try:  # getrusage would count what the process before an exec had
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
