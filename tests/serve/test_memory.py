"""What is free goes back to the system, now and then while requests come."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from albert.serve.core import memory


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_free_pages_go_back_wherever_they_lie() -> None:
    kept = []
    for number in range(40_000):
        block = bytearray(3000)
        if number % 50 == 0:  # what stays would keep the pages before it
            kept.append(bytearray(600))
        kept.append(block)
    del block
    kept = kept[50 :: 51 * 20]
    before = resident()
    memory.give_back()
    assert resident() < before - 50_000_000
    assert kept


TIMES = [([0, 0, 0, 0], 0), ([1000, 1000, 1999, 2000], 2), ([999, 1500, 1600, 1700], 1)]


@pytest.mark.parametrize(("answered", "times"), TIMES)
def test_it_is_done_after_many_requests(monkeypatch: pytest.MonkeyPatch, answered: list[int], times: int) -> None:
    given: list[int] = []
    told = iter([*answered])
    now = 0

    async def beat(_: float) -> None:
        nonlocal now
        now = next(told)

    # Not asyncio's own: servers of other tests sleep in their threads.
    monkeypatch.setattr(memory, "asyncio", SimpleNamespace(sleep=beat, to_thread=asyncio.to_thread))
    monkeypatch.setattr(memory, "give_back", lambda: given.append(now))
    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(memory.keep_small(lambda: now))
    assert len(given) == times
