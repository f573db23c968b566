"""This process among others: the lock of a folder, and signals that ask it to stop."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from albert.errors import AlbertError, ErrorKind


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Holds the run directory; the kernel frees it when the process ends, however it ends.

    Raises `AlbertError` (locked) naming the process that holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlbertError(
                ErrorKind.LOCKED,
                f"{folder} is in use",
                got=f"another run, {file.read().strip() or 'unknown'}",
                hint="wait for it, stop it, or choose another output folder",
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


class StopRequest:
    """While entered, the first SIGTERM or SIGINT is only remembered; a second one leaves at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __enter__(self) -> StopRequest:
        try:
            self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not the main thread: its owner handles signals
            self._previous = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def leave_if_asked(self, where: str, *, hint: str) -> None:
        """Raises `AlbertError` (pre-empted or interrupted) after a signal; `where` says how far the work is."""
        if self.signal is not None:
            kind = ErrorKind.PREEMPTED if self.signal == signal.SIGTERM else ErrorKind.INTERRUPTED
            raise AlbertError(kind, f"stopped by {self.signal.name} {where}", hint=hint)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.signal = signal.Signals(number)
