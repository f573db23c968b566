"""Events as JSON lines on stderr. They contain no text that a client sent."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, TextIO

_MOST = 10_000  # the most lines that may wait; more are dropped and counted


class Lines:
    """Lines on their way to stderr. A thread writes them, so a reader that stops cannot stop the server."""

    def __init__(self, most: int = _MOST) -> None:
        self.dropped = 0  # since the last line that reported it
        self._most = most
        self._waiting: queue.SimpleQueue[tuple[TextIO, str]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._put = self._done = 0
        self._thread: threading.Thread | None = None

    def put(self, line: str) -> None:
        """Queues a line, or drops it when too many wait. Never blocks."""
        with self._lock:
            if self._waiting.qsize() >= self._most:
                self.dropped += 1
                return
            self._put += 1
            self._waiting.put((sys.stderr, line))
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
                self._thread.start()

    def flush(self, seconds: float) -> None:
        """Waits until all lines are written, at most `seconds`."""
        end = time.monotonic() + seconds
        while self._done < self._put and time.monotonic() < end:
            time.sleep(0.005)

    def _write_all(self) -> None:
        while True:
            lines = [self._waiting.get(), *self._rest()]
            for file, group in groupby(lines, itemgetter(0)):
                with contextlib.suppress(OSError, ValueError):  # the reader of stderr is gone
                    _write(file, "".join(line for _, line in group))
                    self._tell_dropped(file)
            self._done += len(lines)

    def _rest(self) -> Iterator[tuple[TextIO, str]]:
        with contextlib.suppress(queue.Empty):
            for _ in range(100):
                yield self._waiting.get_nowait()

    def _tell_dropped(self, file: TextIO) -> None:
        with self._lock:
            count, self.dropped = self.dropped, 0
        if count:
            _write(file, _line("warning", "log lines dropped", count=count))


_LINES = Lines()


def _write(file: TextIO, text: str) -> None:
    """Writes past Python's own buffer: a thread that is blocked inside it would keep the process from ending."""
    data = text.encode()
    while data:
        data = data[os.write(file.fileno(), data) :]


def _line(level: str, event: str, **fields: Any) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1_000_000 % 1000:03}Z"
    return json.dumps({"time": stamp, "level": level, "event": event, **fields}, default=str) + "\n"


def log(level: str, event: str, **fields: Any) -> None:
    """Writes one line: time (UTC), level, event and `fields`. Never waits for the reader."""
    _LINES.put(_line(level, event, **fields))


def flush(seconds: float = 1.0) -> None:
    """Waits until all lines are written, at most `seconds`. Call it before the process ends."""
    _LINES.flush(seconds)


class Tally:
    """Counts frequent events and logs the count at most once every `seconds`."""

    def __init__(self, level: str, event: str, seconds: float = 1.0) -> None:
        self._line = level, event
        self._seconds = seconds
        self._count = 0
        self._told = float("-inf")

    def add(self, **fields: Any) -> None:
        """Counts one event. `fields` are added to the line if one is written now."""
        self._count += 1
        if time.monotonic() - self._told >= self._seconds:
            log(*self._line, count=self._count, **fields)
            self._count, self._told = 0, time.monotonic()


class JsonLines(logging.Handler):
    """A handler that writes records of `logging` as JSON lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Queues the record's message; of an exception only the type."""
        log(record.levelname.lower(), "server", message=record.getMessage(),
            **({"kind": record.exc_info[0].__name__} if record.exc_info and record.exc_info[0] else {}))  # fmt: skip


def log_warnings() -> None:
    """Sends warnings of this package, uvicorn and other libraries to the JSON lines, so none waits for the reader."""
    for name in (None, "albert", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [JsonLines(logging.WARNING)], False
