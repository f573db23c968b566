"""This process among others: signals that ask it to stop."""

from __future__ import annotations

import signal
from types import FrameType

from albert.errors import AlbertError, ErrorKind


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
