"""Gives free memory back to the system: glibc keeps it in pieces, more and more where requests vary in size."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

_EVERY = 10.0  # seconds
_WORTH = 1000  # requests since the last time


def give_back() -> None:
    """Returns free pages to the system, wherever they lie; does nothing where the C library cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


async def keep_small(answered: Callable[[], int]) -> None:
    """Gives free memory back every few seconds while requests are answered; never returns."""
    before = 0
    while True:
        await asyncio.sleep(_EVERY)
        if answered() - before >= _WORTH:
            before = answered()
            await asyncio.to_thread(give_back)
