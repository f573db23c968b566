"""Gives free memory back to the system. glibc keeps freed pieces, and more of them when requests vary in size."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

_EVERY = 10.0  # seconds
_WORTH = 1000  # requests since the last call


def give_back() -> None:
    """Returns free pages to the system, wherever they are. Does nothing where the C library has no call for it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


async def keep_small(answered: Callable[[], int]) -> None:
    """Gives free memory back every few seconds while requests are answered. Never returns."""
    before = 0
    while True:
        await asyncio.sleep(_EVERY)
        if answered() - before >= _WORTH:
            before = answered()
            await asyncio.to_thread(give_back)
