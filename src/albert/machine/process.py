"""Signals that ask this process to stop, and programs that it starts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from types import FrameType

from albert.errors import AlbertError, ErrorKind


class StopRequest:
    """While entered, the first SIGTERM or SIGINT is only recorded. A second one ends the process at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __enter__(self) -> StopRequest:
        try:
            self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not the main thread, so the main program handles signals
            self._previous = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def leave_if_asked(self, where: str, *, hint: str) -> None:
        """Raises `AlbertError` (pre-empted or interrupted) after a signal. `where` says how far the work is."""
        if self.signal is not None:
            kind = ErrorKind.PREEMPTED if self.signal == signal.SIGTERM else ErrorKind.INTERRUPTED
            raise AlbertError(kind, f"stopped by {self.signal.name} {where}", hint=hint)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.signal = signal.Signals(number)


def run_limited(
    command: Sequence[str], seconds: float, *, env: Mapping[str, str] | None = None
) -> tuple[int | None, str]:
    """Runs a program without input: (exit code, the beginning of its output). The code is None after `seconds`.

    Programs that it started end with it. Raises OSError.
    """
    with tempfile.TemporaryFile() as said:  # a pipe would be waited for as long as any process has it open
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=env, start_new_session=True
        )
        code: int | None = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(seconds)
        finally:
            if code is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said.seek(0)
        return code, said.read(1 << 16).decode("utf-8", "replace")
