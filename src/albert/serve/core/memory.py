"""Gives free memory back to the system. glibc keeps freed pieces, and more of them when requests vary in size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from albert.machine.memory import give_back

_EVERY = 10.0  # seconds
_WORTH = 1000  # requests since the last call


async def keep_small(answered: Callable[[], int]) -> None:
    """Gives free memory back every few seconds while requests are answered. Never returns."""
    before = 0
    while True:
        await asyncio.sleep(_EVERY)
        if answered() - before >= _WORTH:
            before = answered()
            await asyncio.to_thread(give_back)
