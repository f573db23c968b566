"""How many requests may be under way: only as many as get their answer within half of their timeout."""

from __future__ import annotations

import asyncio
import time

from albert.serve.core.limits import Limits
from albert.serve.core.refusals import overloaded

_FIRST, _LEAST = 32, 4  # requests per second of the timeout at the start; the smallest limit
_TARGET = 0.5  # the share of the timeout within which answers should come
_MORE, _LESS = 4, 0.9  # requests added per full round of answers; the factor after a late one
_PAUSE = 0.1  # share of the target between two steps down: requests under way entered before the last step
_BEAT = 0.05


class Admission:
    """A limit on requests under way (AIMD, Chiu and Jain 1989).

    The limit grows while answers come in time and requests reach it. It falls when answers are late. The cause need not
    be known: it may be the engine, the tokeniser, or the event loop, whose delay is added. So admitted requests are
    answered in time under any overload, and all others are refused before their body is read.
    """

    def __init__(self, limits: Limits) -> None:
        self.most = limits.max_requests
        self.target = _TARGET * limits.timeout
        self.limit = float(min(max(_FIRST * limits.timeout, _LEAST), self.most))
        self.under_way = 0
        self.lag = 0.0  # how many seconds the event loop was late recently
        self._fell = -self.target

    def check(self) -> None:
        """Raises `Refusal` (overloaded) when the limit is reached."""
        if self.under_way >= int(self.limit):
            raise overloaded("too many requests are under way", retry_after=1)

    def enter(self) -> None:
        """Counts a request that begins."""
        self.under_way += 1

    def leave(self, seconds: float, *, crowded_out: bool = False) -> None:
        """Counts a request that ended after `seconds`.

        `crowded_out`: the queue refused it because of the other requests. Then the limit becomes the number of these
        others, so the next request is refused before it costs anything.
        """
        full = self.under_way >= self.limit / 2
        self.under_way -= 1
        if crowded_out:
            self.limit = max(_LEAST, min(self.limit, self.under_way))
        elif seconds + self.lag <= self.target:
            self.limit = min(self.most, self.limit + full * _MORE / self.limit)
        elif (now := time.monotonic()) - self._fell > _PAUSE * self.target:
            self.limit, self._fell = max(_LEAST, _LESS * self.limit), now

    async def listen(self) -> None:
        """Measures the delay of the event loop; never returns."""
        while True:
            due = time.monotonic() + _BEAT
            await asyncio.sleep(_BEAT)
            self.lag = max(time.monotonic() - due, 0.5 * self.lag)
