"""The same work for many items over several processes: few items at a time, no orphans, no hang when a worker dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from typing import TypeVar

from albert.errors import AlbertError, ErrorKind

Item = TypeVar("Item")
Result = TypeVar("Result")
_POLL_SECONDS = 0.2


def parallel(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int, check: Callable[[], None]
) -> Iterator[Result]:
    """The results in the order in which they arrive. `workers` = 1 works in this process.

    At most two more items than workers are held. `check` is called several times a second and may raise; items under
    way are then finished first. Raises `AlbertError` (internal) when a worker dies.
    """
    if workers == 1:
        for item in items:
            check()
            yield work(item)
        return
    with _pool(workers, check) as pool:
        pending: set[Future[Result]] = set()
        for item in items:
            check()
            with _signals_held():  # the first call starts the workers
                pending.add(pool.submit(work, item))
            while len(pending) >= workers + 2:
                pending, results = _collect(pending, check)
                yield from results
        while pending:
            pending, results = _collect(pending, check)
            yield from results


def _collect(pending: set[Future[Result]], check: Callable[[], None]) -> tuple[set[Future[Result]], list[Result]]:
    check()
    done, pending = wait(pending, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
    return pending, [future.result() for future in done]


@contextmanager
def _pool(workers: int, check: Callable[[], None]) -> Iterator[ProcessPoolExecutor]:
    # spawn: a fork would copy locks that threads of this process hold
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_with_parent)
    try:
        yield pool
    except BrokenProcessPool as error:
        check()  # a signal to the whole group ends the workers, too
        raise AlbertError(
            ErrorKind.INTERNAL,
            "a worker process died",
            got="perhaps killed for want of memory",
            hint="repeat the command, with fewer --workers if it happens again: finished shards are kept",
        ) from error
    finally:
        if sys.version_info < (3, 11, 5):  # the shutdown waits forever to write to a dead worker (gh-94777)
            pool._call_queue._reader.close()  # type: ignore[attr-defined]
        pool.shutdown(cancel_futures=True)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Blocks SIGINT in the workers, which inherit this. A Ctrl-C goes to all processes, and only the main one must
    answer it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_with_parent() -> None:
    """Ends this worker when the main process is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
