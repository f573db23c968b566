"""The queue between requests and the engine. It fills batches of a token budget row by row from all waiting requests.

Its state belongs to the event loop. A few threads compute, each a batch of its own. Requests take turns within a model.
Models take turns by the seconds that they have used. So neither a large request nor a busy model makes the others wait
longer than one batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from albert.data.batches import Features
from albert.serve.core.call import Call
from albert.serve.core.limits import Limits
from albert.serve.core.logs import log
from albert.serve.core.metrics import Metrics
from albert.serve.core.refusals import Refusal, expired, overloaded, too_large, unavailable, unsupported

_FORGET = 0.8  # the weight of earlier measurements after each batch
HOPEFUL = 0.5  # work is admitted if its estimate fits this share of the deadline: speed may halve
_SOON = 1e-9


@dataclass(eq=False)
class Job:
    """The rows of one request: those that wait, and the results of the others."""

    lane: Lane
    features: Features
    call: Call
    done: asyncio.Future[list[np.ndarray]]
    added: float
    waiting: deque[int]
    rows: list[np.ndarray]
    missing: int
    first: float | None = None  # when its first row went into a batch

    def fail(self, error: Refusal) -> None:
        """Ends the job with an error, unless it has ended already."""
        if not self.done.done():
            self.done.set_exception(error)


class Computed(NamedTuple):
    """The result of a batch: one array per row, and the mean depth at which rows left (0 without early exit)."""

    rows: list[np.ndarray]
    depth: float = 0.0


@dataclass(eq=False)
class Account:
    """What a kind of work has cost. Lanes that share one share one turn, too."""

    spent: float = 0.0  # seconds of computing, and those of others while it was idle
    tokens: float = 0.0  # tokens computed recently, and the seconds that they took
    seconds: float = 0.0

    @property
    def pace(self) -> float:
        """Seconds per token, lately; 0 before the first batch."""
        return self.seconds / self.tokens if self.tokens else 0.0

    def with_batch(self, tokens: int, seconds: float) -> tuple[float, float]:
        """The values of `tokens` and `seconds` after one more batch."""
        return _FORGET * self.tokens + tokens, _FORGET * self.seconds + seconds + _SOON

    def add(self, tokens: int, seconds: float) -> None:
        """Counts a batch."""
        self.tokens, self.seconds = self.with_batch(tokens, seconds)


@dataclass(eq=False)
class Lane:
    """One kind of rows of one model: the function that computes them, and the jobs that wait for it.

    `most` tokens are computed at once; None: as many as the limits allow.
    """

    name: str
    compute: Callable[[Features], Computed]
    most: int | None = None
    account: Account = field(default_factory=Account)
    jobs: deque[Job] = field(default_factory=deque)
    waiting: int = 0  # tokens


class Batch(NamedTuple):
    """A batch that is being computed."""

    lane: Lane
    tokens: int
    begun: float


class ComputeQueue:
    """Gives each lane's rows to the engine in batches. It limits the waiting tokens, and the waiting work by its
    deadline.

    Each of `workers` computes one batch at a time, with `threads` threads of its own.
    """

    def __init__(self, limits: Limits, metrics: Metrics, *, workers: int = 1, threads: int = 1) -> None:
        self.limits = limits
        self.metrics = metrics
        self.workers = workers
        self._lanes: list[Lane] = []  # lanes with waiting jobs
        self._wake = asyncio.Event()
        self._reached = 0.0  # what the lane of the last batch had spent: an idle lane gets no credit for earlier times
        self._idle = 0  # workers
        self._threads = ThreadPoolExecutor(workers, "engine", torch.set_num_threads, (threads,))
        self._tasks: list[asyncio.Task[None]] = []
        self._under_way: list[Batch] = []

    def start(self) -> None:
        """Starts the workers on the running event loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._work()) for _ in range(self.workers)]

    async def stop(self) -> None:
        """Stops the workers. Waiting jobs are refused."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for lane in self._lanes:
            for job in lane.jobs:
                job.fail(unavailable("the server stopped"))
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def tokens(self) -> int:
        """The number of waiting tokens."""
        return sum(lane.waiting for lane in self._lanes)

    def backlog(self) -> float:
        """The estimated seconds until everything that waits now is done."""
        waiting = sum(self._seconds(lane, lane.waiting) for lane in self._lanes)
        return waiting + sum(self._seconds(batch.lane, batch.tokens) for batch in self._under_way)

    def _seconds(self, lane: Lane, tokens: int) -> float:
        """The estimated seconds for `tokens`, from the pace of recent batches.

        A batch under way that is already slower than that pace counts, too.
        """
        now = time.monotonic()
        account = lane.account
        pace = account.pace
        for batch in self._under_way:
            if batch.lane.account is account:
                had, seconds = account.with_batch(batch.tokens, now - batch.begun)
                pace = max(pace, seconds / had)
        return tokens * pace / self.workers

    async def run(self, lane: Lane, features: Features, call: Call, *, probe: bool = False) -> list[np.ndarray]:
        """The lane's result for each row.

        A `probe` is always admitted. Raises `Refusal`:

        - too large: more tokens than the queue can ever hold
        - overloaded: the queue is full, or the waiting work leaves too little time before the deadline
        - expired: the deadline passed
        - unavailable or unsupported: the batch failed
        """
        total = len(features.ids)
        if not probe:
            self._admit(lane, total, call)
        loop = asyncio.get_running_loop()
        job = Job(lane, features, call, loop.create_future(), time.monotonic(), deque(range(len(features))),
                  [np.zeros(0)] * len(features), len(features))  # fmt: skip
        if not len(features):
            return []
        self._enqueue(job)
        try:
            async with asyncio.timeout(call.left):
                return await job.done
        except TimeoutError:
            raise expired() from None
        finally:
            self._forget(job)
            call.queued += (job.first or time.monotonic()) - job.added

    def _admit(self, lane: Lane, tokens: int, call: Call) -> None:
        if tokens > self.limits.queue_tokens:
            raise too_large(f"{tokens:,} tokens, more than the {self.limits.queue_tokens:,} that may wait")
        backlog = self.backlog()
        if self.tokens + tokens > self.limits.queue_tokens:
            raise overloaded("the queue is full", retry_after=backlog / 2)
        own = self._seconds(lane, tokens)
        if backlog and backlog + own > HOPEFUL * call.left:
            call.crowded_out = backlog > own
            raise overloaded("this would not be done in time", retry_after=backlog / 2)

    def _enqueue(self, job: Job) -> None:
        lane = job.lane
        if lane not in self._lanes:
            lane.account.spent = max(lane.account.spent, self._reached)
            self._lanes.append(lane)
        lane.jobs.append(job)
        lane.waiting += len(job.features.ids)
        self._wake.set()
        self.metrics.queued(self._size(), self.tokens)

    def _forget(self, job: Job) -> None:
        """Removes the waiting rows of a job whose client left or whose deadline passed."""
        if not job.waiting:  # then no queue holds it
            return
        job.lane.jobs.remove(job)
        job.lane.waiting -= _waiting_tokens(job)
        job.waiting.clear()
        self._leave_if_idle(job.lane)
        self.metrics.queued(self._size(), self.tokens)

    def _leave_if_idle(self, lane: Lane) -> None:
        if not lane.jobs and lane in self._lanes:
            self._lanes.remove(lane)

    def _size(self) -> int:
        return sum(len(lane.jobs) for lane in self._lanes)

    def _next(self) -> list[tuple[Job, int]]:
        """The next batch, from the lane that has used the least time: one row of each job in turn, until the budget is
        full.

        While other workers are idle, the batch is at most a fair share of what waits.
        """
        lane = min(self._lanes, key=lambda lane: lane.account.spent)
        self._reached = max(self._reached, lane.account.spent)
        batch: list[tuple[Job, int]] = []
        room = min(lane.most or self.limits.batch_tokens, lane.waiting // (1 + self._idle))
        now = time.monotonic()
        while lane.jobs:
            job = lane.jobs[0]
            if now >= job.call.deadline:
                self._forget(job)
                job.fail(expired())
                continue
            length = int(job.features.starts[job.waiting[0] + 1] - job.features.starts[job.waiting[0]])
            if batch and length > room:
                break
            room -= length
            lane.waiting -= length
            batch.append((job, job.waiting.popleft()))
            job.first = job.first or now
            lane.jobs.popleft()
            if job.waiting:
                lane.jobs.append(job)
        self._leave_if_idle(lane)
        return batch

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._lanes:
                self._wake.clear()
                self._idle += 1
                try:
                    await self._wake.wait()
                finally:
                    self._idle -= 1
            batch = self._next()
            if not batch:
                continue
            lane = batch[0][0].lane
            features = _gather(batch)
            begun = time.monotonic()
            self._under_way.append(under_way := Batch(lane, len(features.ids), begun))
            depth = 0.0
            try:
                rows, depth = await loop.run_in_executor(self._threads, lane.compute, features)
            except Exception as error:  # a batch that fails must not end the server
                self._failed(batch, error)
            else:
                self._give(batch, rows)
            self._under_way.remove(under_way)
            seconds = time.monotonic() - begun
            self._account(lane, features, seconds, depth)
            for job in {job for job, _ in batch}:
                job.call.computing += seconds

    def _give(self, batch: list[tuple[Job, int]], rows: list[np.ndarray]) -> None:
        for (job, index), row in zip(batch, rows, strict=True):
            if not np.isfinite(row).all():
                self._forget(job)
                job.fail(unsupported("the model gave no finite numbers"))
                continue
            job.rows[index] = row
            job.missing -= 1
            if not job.missing and not job.done.done():
                job.done.set_result(job.rows)

    def _failed(self, batch: list[tuple[Job, int]], error: Exception) -> None:
        memory = isinstance(error, MemoryError) or "memory" in str(error)
        log("error", "batch failed", kind=type(error).__name__, where=traceback.format_tb(error.__traceback__)[-3:])
        for job in {job for job, _ in batch}:
            self._forget(job)
            job.fail(unavailable("out of memory", retry_after=1) if memory else unsupported("inference failed"))

    def _account(self, lane: Lane, features: Features, seconds: float, depth: float) -> None:
        tokens = len(features.ids)
        lane.account.spent += seconds
        lane.account.add(tokens, seconds)
        self.metrics.batch(len(features), tokens, int(features.lengths.max()), seconds, depth)
        self.metrics.queued(self._size(), self.tokens)


def _waiting_tokens(job: Job) -> int:
    """The tokens of a job's waiting rows. Rows go in order, so these are all from the first waiting row on."""
    return int(job.features.starts[-1] - job.features.starts[job.waiting[0]])


def _gather(batch: list[tuple[Job, int]]) -> Features:
    """The rows of a batch in the form that the engine reads."""

    def parts(name: str) -> Iterator[np.ndarray]:
        for job, row in batch:
            starts = job.features.starts
            yield getattr(job.features, name)[starts[row] : starts[row + 1]]

    ids = list(parts("ids"))
    return Features(np.concatenate(ids), np.concatenate(list(parts("types"))),
                    np.cumsum([0, *map(len, ids)]), None)  # fmt: skip
