"""Where models write. Texts come piece by piece: in each turn in the queue, those of several requests go on together.

The decoder keeps keys and values of every piece, so a request takes a place of the size that its texts may have. Where
there is no room left, requests wait for it in the order of their arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np

from albert.data.batches import Features
from albert.predict.draft import Draft
from albert.serve.core.call import Call
from albert.serve.core.hosted import HostedWriter
from albert.serve.core.limits import Limits
from albert.serve.core.queue import HOPEFUL, Computed, ComputeQueue, Lane
from albert.serve.core.refusals import expired, overloaded, too_large

_TURN = 0.02  # seconds of writing before others get their turn; a step that takes longer is one by itself
_ROWS = 64  # that go on together, of several requests: more hardly save time, and one step of all would take long


@dataclass(eq=False)
class _Place:
    """A request at the desk. `spent` is its share of the seconds of computing, alone or together with others."""

    number: int
    model: HostedWriter
    draft: Draft
    call: Call
    told: Callable[[], None]
    spent: float = 0.0
    patience: asyncio.Timeout | None = None  # while it waits
    given: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def size(self) -> int:
        """The most pieces that its texts may have."""
        return self.draft.most

    @property
    def left(self) -> float:
        """The estimated seconds of computing that are still to come, by what earlier requests took."""
        return max(0.0, self.size * self.model.texts.pace - self.spent)


class Desk:
    """The places of all requests that are written, and of those that wait for one."""

    def __init__(self, limits: Limits, queue: ComputeQueue) -> None:
        self.most = limits.max_written
        self.queue = queue
        self._writing: dict[int, _Place] = {}
        self._waiting: deque[_Place] = deque()
        self._numbers = itertools.count()
        self._lanes: WeakKeyDictionary[HostedWriter, Lane] = WeakKeyDictionary()
        self._end = float("inf")

    def end_by(self, moment: float) -> None:
        """Brings all deadlines forward to a moment of `time.monotonic`: the server stops then, whatever is written."""
        self._end = moment
        for place in (*self._writing.values(), *self._waiting):
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
        lane = self._lanes.setdefault(model, Lane(f"{model.name}/texts", self._turn, most=_ROWS))
        place = _Place(next(self._numbers), model, draft, call, told)
        async with self._given(place):
            while not draft.done:
                await self.queue.run(lane, _row_of(place), call, probe=True)
        model.texts.add(draft.most, place.spent)

    def _turn(self, features: Features) -> Computed:
        """Goes on for a moment with the texts of all places whose numbers the rows have."""
        numbers = features.ids[features.starts[:-1]].tolist()
        places = [self._writing.get(number) for number in numbers]
        present = [place for place in places if place is not None]  # of clients that did not leave
        _go_on(present, until=time.monotonic() + _TURN)
        for place in present:
            place.told()
        return Computed([np.asarray([0.0 if place is None or place.draft.sound else np.nan]) for place in places])

    @contextlib.asynccontextmanager
    async def _given(self, place: _Place) -> AsyncIterator[None]:
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
            if self._writing.pop(place.number, None) is None:
                self._waiting.remove(place)
            self._seat()

    def _admit(self, place: _Place) -> None:
        if place.size > self.most:
            raise too_large(f"{place.size:,} pieces (texts x beam x length), the maximum is {self.most:,}")
        backlog = sum(each.left for each in (*self._writing.values(), *self._waiting)) / self.queue.workers
        if backlog and backlog + place.left > HOPEFUL * place.call.left:
            place.call.crowded_out = backlog > place.left
            raise overloaded("this would not be done in time", retry_after=backlog / 2)

    def _seat(self) -> None:
        """Gives places to those that wait, as long as there is room for the next one."""
        taken = sum(each.size for each in self._writing.values())
        while self._waiting and taken + self._waiting[0].size <= self.most:
            place = self._waiting.popleft()
            self._writing[place.number] = place
            taken += place.size
            if not place.given.done():
                place.given.set_result(None)


async def _in_time(place: _Place) -> None:
    try:
        async with asyncio.timeout(place.call.left) as place.patience:
            await place.given
    except TimeoutError:
        raise expired() from None


def _go_on(places: list[_Place], *, until: float) -> None:
    """Writes on until this moment. Once texts were read it ends at once, so that they join others in the next turn."""
    while able := [place for place in places if place.draft.sound and not place.draft.done]:
        begun, sizes = time.monotonic(), [place.draft.pieces for place in able]
        read = any(place.draft.reads for place in able)
        Draft.step_each([place.draft for place in able])
        now = time.monotonic()
        for place, size in zip(able, sizes, strict=True):
            place.spent += (now - begun) * size / sum(sizes)
        if read or now > until:
            break


def _row_of(place: _Place) -> Features:
    """A row with the place's number, as long as the next step has pieces: by these the queue measures a turn."""
    pieces = place.draft.pieces
    return Features(np.full(pieces, place.number), np.zeros(pieces, np.int8), np.asarray([0, pieces]), None)
