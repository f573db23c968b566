"""TensorBoard, for runs that ask for it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from albert.errors import AlbertError, ErrorKind


def tensorboard(folder: Path) -> Callable[[dict[str, Any]], None]:
    """A mirror of the metrics log that writes its numbers as scalars to `folder`/tensorboard.

    It writes each record at once, in this thread. torch's SummaryWriter would lose the last records of a killed run,
    and would report a full disk late and in another thread. Raises `AlbertError` (usage) if tensorboard is not
    installed; the mirror raises OSError.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise AlbertError(
            ErrorKind.USAGE, "--tensorboard", expected="tensorboard", hint="pip install 'albert-nlp[track]'"
        ) from None
    place = folder / "tensorboard"
    place.mkdir(parents=True, exist_ok=True)
    name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"

    def add(event: Any) -> None:
        with (place / name).open("ab") as file:
            RecordWriter(file).write(event.SerializeToString())

    add(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(record: dict[str, Any]) -> None:
        where = "dev/" if "dev" in record else "train/"
        values = [
            Summary.Value(tag=where + name, simple_value=value)
            for name, value in {**record, **record.get("dev", {})}.items()
            if name not in ("step", "dev")
        ]
        add(Event(wall_time=time.time(), step=record["step"], summary=Summary(value=values)))

    return write
