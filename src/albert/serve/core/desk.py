"""Where models write. Texts come piece by piece: their requests take turns in the queue, a few at a time.

The decoder keeps keys and values of every piece, so a request takes a place of the size that its texts may have. Where
there is no room left, requests wait for it in the order of their arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import numpy as np

from albert.data.batches import Features
from albert.predict.draft import Draft
from albert.serve.core.call import Call
from albert.serve.core.hosted import HostedWriter
from albert.serve.core.limits import Limits
from albert.serve.core.queue import HOPEFUL, Computed, ComputeQueue, Lane
from albert.serve.core.refusals import expired, overloaded, too_large

_TURN = 0.02  # seconds of writing before others get their turn; a step that takes longer is one by itself


@dataclass(eq=False)
class _Place:
    model: HostedWriter
    size: int  # pieces
    call: Call
    patience: asyncio.Timeout | None = None  # while it waits
    given: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def left(self) -> float:
        """The estimated seconds of computing that are still to come, by what earlier requests took."""
        return max(0.0, self.size * self.model.texts.pace - self.call.computing)


class Desk:
    """The places of all requests that are written, and of those that wait for one."""

    def __init__(self, limits: Limits, queue: ComputeQueue) -> None:
        self.most = limits.max_written
        self.queue = queue
        self._writing: list[_Place] = []
        self._waiting: deque[_Place] = deque()
        self._end = float("inf")

    def end_by(self, moment: float) -> None:
        """Brings all deadlines forward to a moment of `time.monotonic`: the server stops then, whatever is written."""
        self._end = moment
        for place in (*self._writing, *self._waiting):
            place.call.deadline = min(place.call.deadline, moment)
            if place.patience is not None and not place.given.done():
                place.patience.reschedule(place.call.deadline)

    async def write(
        self, model: HostedWriter, draft: Draft, call: Call, told: Callable[[], None] = lambda: None
    ) -> None:
        """Writes a draft to its end. `told` is called after each turn, in the thread that computes.

        Raises `Refusal`: too large for a draft that never has room, overloaded where the others leave too little time,
        expired, unavailable, unsupported.
        """
        lane = Lane(f"{model.name}/texts", lambda _: _turn(draft, told), model.turns)
        async with self._place(_Place(model, draft.most, call)):
            while not draft.done:
                await self.queue.run(lane, _row_of(draft.pieces), call, probe=True)
        model.texts.add(draft.most, call.computing)

    @contextlib.asynccontextmanager
    async def _place(self, place: _Place) -> AsyncIterator[None]:
        place.call.deadline = min(place.call.deadline, self._end)
        self._admit(place)
        self._waiting.append(place)
        begun = time.monotonic()
        try:
            self._seat()
            await _in_time(place)
            place.call.queued += time.monotonic() - begun
            yield
        finally:
            (self._writing if place in self._writing else self._waiting).remove(place)
            self._seat()

    def _admit(self, place: _Place) -> None:
        if place.size > self.most:
            raise too_large(f"{place.size:,} pieces (texts x beam x length), the maximum is {self.most:,}")
        backlog = sum(each.left for each in (*self._writing, *self._waiting)) / self.queue.workers
        if backlog and backlog + place.left > HOPEFUL * place.call.left:
            place.call.crowded_out = backlog > place.left
            raise overloaded("this would not be done in time", retry_after=backlog / 2)

    def _seat(self) -> None:
        """Gives places to those that wait, as long as there is room for the next one."""
        while self._waiting and sum(each.size for each in self._writing) + self._waiting[0].size <= self.most:
            place = self._waiting.popleft()
            self._writing.append(place)
            if not place.given.done():
                place.given.set_result(None)


async def _in_time(place: _Place) -> None:
    try:
        async with asyncio.timeout(place.call.left) as place.patience:
            await place.given
    except TimeoutError:
        raise expired() from None


def _turn(draft: Draft, told: Callable[[], None]) -> Computed:
    """Writes on for a moment."""
    end = time.monotonic() + _TURN
    while draft.sound and not draft.done:
        draft.step()
        if time.monotonic() > end:
            break
    told()
    return Computed([np.asarray([0.0 if draft.sound else np.nan])])


def _row_of(pieces: int) -> Features:
    """A row of so many pieces, by which the queue measures a turn."""
    return Features(np.zeros(pieces, np.int32), np.zeros(pieces, np.int8), np.asarray([0, pieces]), None)
