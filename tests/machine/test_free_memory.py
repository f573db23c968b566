"""What the C allocator gives back, and when."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from albert.machine import memory
from albert.machine.memory import Tidy, give_back


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
    give_back()
    assert resident() < before - 50_000_000
    assert kept


def test_it_is_done_at_most_once_in_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, given = 0.0, list[float]()
    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(memory, "give_back", lambda: given.append(now))
    tidy = Tidy(30.0)
    for now in (1.0, 29.0, 31.0, 60.0, 61.0, 200.0):  # noqa: B007
        tidy()
    assert given == [31.0, 61.0, 200.0]
