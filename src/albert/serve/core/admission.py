"""How many requests may be under way: as many as are answered within half of their time."""

from __future__ import annotations

import asyncio
import time

from albert.serve.core.limits import Limits
from albert.serve.core.refusals import overloaded

_FIRST, _LEAST = 32, 4  # at first, for each second that a request has; at last
_TARGET = 0.5  # of the time that a request has
_MORE, _LESS = 4, 0.9  # requests, in the time that as many answers take as there may be under way; of the limit
_PAUSE = 0.1  # of the target, between two steps down: what is under way answers to the step before
_BEAT = 0.05


class Admission:
    """A limit that grows with answers in time while it is reached and falls with late ones (AIMD, Chiu and Jain 1989).

    What is slow need not be known: the engine, tokenising, or the event loop itself, whose lateness counts, too. So
    under any overload what is admitted is answered in time, and the rest is refused before its body is read.
    """

    def __init__(self, limits: Limits) -> None:
        self.most = limits.max_requests
        self.target = _TARGET * limits.timeout
        self.limit = float(min(max(_FIRST * limits.timeout, _LEAST), self.most))
        self.under_way = 0
        self.lag = 0.0  # seconds by which the event loop was late of late
        self._fell = -self.target

    def check(self) -> None:
        """Raises `Refusal` (overloaded) where no more may enter."""
        if self.under_way >= int(self.limit):
            raise overloaded("too many requests are under way", retry_after=1)

    def enter(self) -> None:
        """Counts a request in."""
        self.under_way += 1

    def leave(self, seconds: float, *, crowded_out: bool = False) -> None:
        """Counts it out, after so long. Where the queue refused it because of the others, they are as many as fit:
        the next is refused before it costs anything."""
        full = self.under_way >= self.limit / 2
        self.under_way -= 1
        if crowded_out:
            self.limit = max(_LEAST, min(self.limit, self.under_way))
        elif seconds + self.lag <= self.target:
            self.limit = min(self.most, self.limit + full * _MORE / self.limit)
        elif (now := time.monotonic()) - self._fell > _PAUSE * self.target:
            self.limit, self._fell = max(_LEAST, _LESS * self.limit), now

    async def listen(self) -> None:
        """Measures for ever how late the event loop is."""
        while True:
            due = time.monotonic() + _BEAT
            await asyncio.sleep(_BEAT)
            self.lag = max(time.monotonic() - due, 0.5 * self.lag)
