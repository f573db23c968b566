"""Events as JSON lines on stderr. No text that a client sent is among them."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from typing import Any


def log(level: str, event: str, **fields: Any) -> None:
    """Writes one line: time (UTC), level, event, and what else is known."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1_000_000 % 1000:03}Z"
    line = json.dumps({"time": stamp, "level": level, "event": event, **fields}, default=str)
    with contextlib.suppress(OSError, ValueError):  # who reads them is gone: that must not keep a server from stopping
        print(line, file=sys.stderr, flush=True)


class JsonLines(logging.Handler):
    """What a library says through `logging`, as such lines."""

    def emit(self, record: logging.LogRecord) -> None:
        log(record.levelname.lower(), "server", message=record.getMessage(),
            **({"kind": record.exc_info[0].__name__} if record.exc_info and record.exc_info[0] else {}))  # fmt: skip


def log_warnings() -> None:
    """What this package and uvicorn warn of becomes such lines."""
    for name in ("albert", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [JsonLines(logging.WARNING)], False
