"""The queue by itself, with lanes that only take time: turns, deadlines, bounds, failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from albert.data.batches import Features
from albert.serve.core.call import Call
from albert.serve.core.limits import Limits
from albert.serve.core.metrics import Metrics
from albert.serve.core.queue import Computed, ComputeQueue, Lane
from albert.serve.core.refusals import Refusal
from albert.serve.http.status import status_of as http_status


def rows_of(*lengths: int, mark: int = 0) -> Features:
    """Rows of these lengths whose pieces are all `mark`."""
    total = sum(lengths)
    return Features(
        np.full(total, mark, np.int32), np.zeros(total, np.int8), np.cumsum([0, *lengths]), None,
    )  # fmt: skip


def call(seconds: float = 10) -> Call:
    return Call("test", time.monotonic() + seconds)


class Recorder:
    """Computes a number a row, its first piece, and keeps what each batch held."""

    def __init__(self, seconds_a_token: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.most = self.now = 0  # batches that are computed at the same time
        self.seconds_a_token = seconds_a_token

    def __call__(self, features: Features) -> Computed:
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(self.seconds_a_token * len(features.ids))
        self.now -= 1
        marks = features.ids[features.starts[:-1]].tolist()
        self.batches.append(marks)
        return Computed([np.asarray([mark], np.float32) for mark in marks])


def within(test: Callable[[ComputeQueue], Awaitable[None]], workers: int = 1, **limits: Any) -> None:
    """Runs a test with a queue."""

    async def run() -> None:
        queue = ComputeQueue(Limits(**limits), Metrics(), workers=workers)
        queue.start()
        try:
            await test(queue)
        finally:
            await queue.stop()

    asyncio.run(run())


async def status_of(work: Coroutine[Any, Any, Any]) -> int:
    try:
        await work
    except Refusal as refusal:
        return http_status(refusal)
    return 200


def test_every_request_gets_its_own_rows_back() -> None:
    async def test(queue: ComputeQueue) -> None:
        lane = Lane("a", Recorder())
        sizes = [1, 7, 3, 32, 2]
        jobs = [queue.run(lane, rows_of(*range(3, 3 + size), mark=size), call()) for size in sizes]
        for size, rows in zip(sizes, await asyncio.gather(*jobs), strict=True):
            assert [row.tolist() for row in rows] == [[size]] * size
        assert queue.tokens == 0

    within(test, batch_tokens=64)


def test_batches_keep_the_budget_but_a_row_beyond_it_goes_alone() -> None:
    async def test(queue: ComputeQueue) -> None:
        sizes: list[int] = []

        def compute(features: Features) -> Computed:
            sizes.append(len(features.ids))
            return Computed([np.zeros(1)] * len(features))

        lane = Lane("a", compute)
        await asyncio.gather(*(queue.run(lane, rows_of(30, 100, 30, 30), call()) for _ in range(3)))
        assert max(size for size in sizes if size != 100) <= 64
        assert sum(sizes) == 3 * 190

    within(test, batch_tokens=64)


def test_a_small_request_does_not_wait_for_a_large_one() -> None:
    async def test(queue: ComputeQueue) -> None:
        record = Recorder(1e-5)
        lane = Lane("a", record)
        large = asyncio.ensure_future(queue.run(lane, rows_of(*[64] * 32, mark=1), call()))
        await asyncio.sleep(0)
        small = asyncio.ensure_future(queue.run(lane, rows_of(8, mark=2), call()))
        await small
        assert not large.done()
        await large
        assert [2 in batch for batch in record.batches].index(True) <= 1

    within(test, batch_tokens=256)


def test_idle_workers_share_a_request_and_compute_at_once() -> None:
    async def test(queue: ComputeQueue) -> None:
        record = Recorder(0.005)
        lane = Lane("a", record)
        await asyncio.sleep(0)  # both wait for work
        await queue.run(lane, rows_of(*[10] * 8), call())
        assert [len(batch) for batch in record.batches] == [4, 4]
        assert record.most == 2
        alone = [asyncio.ensure_future(queue.run(lane, rows_of(10), call())) for _ in range(2)]
        await asyncio.gather(*alone)
        assert [len(batch) for batch in record.batches[2:]] == [1, 1]

    within(test, workers=2)


def test_requests_take_turns_row_by_row() -> None:
    async def test(queue: ComputeQueue) -> None:
        record = Recorder()
        lane = Lane("a", record)
        await asyncio.gather(*(queue.run(lane, rows_of(*[10] * 6, mark=mark), call()) for mark in (1, 2, 3)))
        assert record.batches == [[1, 2, 3] * 2] * 3

    within(test, batch_tokens=60)


def test_a_busy_model_leaves_half_of_the_time_to_another() -> None:
    async def test(queue: ComputeQueue) -> None:
        spent: list[tuple[str, float]] = []

        def lane(name: str, seconds: float) -> Lane:
            def compute(features: Features) -> Computed:
                begun = time.monotonic()
                time.sleep(seconds)
                spent.append((name, time.monotonic() - begun))
                return Computed([np.zeros(1)] * len(features))

            return Lane(name, compute)

        slow, quick = lane("slow", 0.04), lane("quick", 0.01)
        jobs = [queue.run(slow, rows_of(*[10] * 8), call()) for _ in range(4)]
        jobs += [queue.run(quick, rows_of(*[10] * 20), call()) for _ in range(4)]
        await asyncio.gather(*jobs)
        seconds = [sum(taken for name, taken in spent[:20] if name == of) for of in ("slow", "quick")]
        assert min(seconds) > 0.25 * sum(seconds), spent

    within(test, batch_tokens=20)


@pytest.mark.parametrize("idle_first", [False, True])
def test_a_model_that_was_idle_has_no_claim_on_the_past(idle_first: bool) -> None:
    async def test(queue: ComputeQueue) -> None:
        record = Recorder(1e-4)
        busy, idle = Lane("busy", record), Lane("idle", record)
        await queue.run(busy, rows_of(*[20] * 20), call())
        record.batches.clear()
        jobs = [queue.run(busy, rows_of(*[20] * 10, mark=1), call()),
                queue.run(idle, rows_of(*[20] * 10, mark=2), call())]  # fmt: skip
        await asyncio.gather(*(reversed(jobs) if idle_first else jobs))
        marks = [batch[0] for batch in record.batches]
        assert 1 in marks[:4]
        assert 2 in marks[:4]

    within(test, batch_tokens=20)


def test_a_batch_that_takes_longer_than_others_did_is_believed() -> None:
    async def test(queue: ComputeQueue) -> None:
        record = Recorder(0.0)
        lane = Lane("a", record)
        assert await status_of(queue.run(lane, rows_of(100), call())) == 200
        record.seconds_a_token = 0.005
        first = asyncio.ensure_future(status_of(queue.run(lane, rows_of(100), call())))
        await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert await status_of(queue.run(lane, rows_of(100), call(0.1))) == 429
        assert await first == 200

    within(test)


def test_expired_work_is_dropped_before_it_is_computed() -> None:
    async def test(queue: ComputeQueue) -> None:
        record = Recorder(0.01)
        lane = Lane("a", record)
        first = asyncio.ensure_future(status_of(queue.run(lane, rows_of(100, mark=1), call())))
        await asyncio.sleep(0.005)  # it is not known yet how long that takes
        late = await status_of(queue.run(lane, rows_of(10, mark=2), call(0.3)))
        assert late == 504
        assert await first == 200
        assert await status_of(queue.run(lane, rows_of(10, mark=3), call())) == 200
        assert record.batches == [[1], [3]]

    within(test)


def test_what_would_not_be_done_in_time_is_refused_at_once() -> None:
    async def test(queue: ComputeQueue) -> None:
        lane = Lane("a", Recorder(0.003))
        await queue.run(lane, rows_of(50), call())  # so long takes a token
        begun = time.monotonic()
        work = [asyncio.ensure_future(status_of(queue.run(lane, rows_of(50), call(2.4)))) for _ in range(40)]
        found = await asyncio.gather(*work)
        assert 4 <= found.count(200) <= 10
        assert found.count(429) >= 40 - 10
        assert 504 not in found
        assert time.monotonic() - begun < 2.4

    within(test, batch_tokens=50)


def test_only_what_others_leave_no_time_for_counts_as_crowded_out() -> None:
    async def test(queue: ComputeQueue) -> None:
        lane = Lane("a", Recorder(0.003))
        await queue.run(lane, rows_of(50), call())  # so long takes a token
        waiting = [asyncio.ensure_future(queue.run(lane, rows_of(50), call())) for _ in range(3)]
        await asyncio.sleep(0)
        small, large = call(0.8), call(0.8)
        assert await status_of(queue.run(lane, rows_of(50), small)) == 429
        assert await status_of(queue.run(lane, rows_of(500), large)) == 429
        assert (small.crowded_out, large.crowded_out) == (True, False)
        await asyncio.gather(*waiting)

    within(test, batch_tokens=50)


def test_the_queue_is_bounded_in_tokens() -> None:
    async def test(queue: ComputeQueue) -> None:
        lane = Lane("a", Recorder(1e-4))
        assert await status_of(queue.run(lane, rows_of(501), call())) == 413
        found = await asyncio.gather(*(status_of(queue.run(lane, rows_of(100), call())) for _ in range(12)))
        assert found.count(200) == 5
        assert found.count(429) == 7

    within(test, queue_tokens=500, batch_tokens=100)


@pytest.mark.parametrize(
    ("error", "wanted"),
    [(MemoryError(), 503), (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 503), (ValueError("x"), 424)],
)
def test_a_batch_that_fails_costs_only_itself(error: Exception, wanted: int) -> None:
    async def test(queue: ComputeQueue) -> None:
        def compute(features: Features) -> Computed:
            if 1 in features.ids:
                raise error
            return Computed([np.zeros(1)] * len(features))

        lane = Lane("a", compute)
        bad = status_of(queue.run(lane, rows_of(*[10] * 6, mark=1), call()))
        good = status_of(queue.run(lane, rows_of(*[10] * 6, mark=2), call()))
        assert await bad == wanted
        assert await good == 200
        assert queue.tokens == 0

    within(test, batch_tokens=30)


def test_numbers_that_are_none_are_not_given_out() -> None:
    async def test(queue: ComputeQueue) -> None:
        def compute(features: Features) -> Computed:
            return Computed([np.asarray([np.nan if mark == 1 else 1.0]) for mark in features.ids[features.starts[:-1]]])

        lane = Lane("a", compute)
        bad = status_of(queue.run(lane, rows_of(*[10] * 9, mark=1), call()))
        good = status_of(queue.run(lane, rows_of(10, mark=2), call()))
        assert await asyncio.gather(bad, good) == [424, 200]
        assert await status_of(queue.run(lane, rows_of(10, mark=2), call())) == 200

    within(test, batch_tokens=40)


def test_work_that_is_given_up_leaves_the_queue() -> None:
    async def test(queue: ComputeQueue) -> None:
        record = Recorder(0.01)
        lane = Lane("a", record)
        first = asyncio.ensure_future(queue.run(lane, rows_of(50, mark=1), call()))
        await asyncio.sleep(0.01)
        second = asyncio.ensure_future(queue.run(lane, rows_of(*[50] * 4, mark=2), call()))
        await asyncio.sleep(0.01)
        assert queue.tokens == 200
        second.cancel()
        await first
        assert queue.tokens == 0
        assert [2] not in record.batches

    within(test, batch_tokens=50)
