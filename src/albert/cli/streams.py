"""Standard streams that are closed, full or without a reader: exit codes tell of them, never a traceback."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from albert.files import disk_errors
from albert.pipes import ReaderGoneError, reader_gone

_FLAGS = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)  # nothing can be written to a standard output that was closed


def prepare_streams() -> None:
    """Makes results raise `AlbertError` (disk) or `ReaderGoneError` where they cannot be written, and remarks never."""
    for number, flags in enumerate(_FLAGS):
        try:
            os.fstat(number)
        except OSError:  # closed, and the next file that is opened would take its place
            os.open(os.devnull, flags)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    if not isinstance(sys.stdout, _Results):
        sys.stdout = _Results(sys.stdout or os.fdopen(1, "w", closefd=False))
    if not isinstance(sys.stderr, _Remarks):
        sys.stderr = _Remarks(sys.stderr or os.fdopen(2, "w", closefd=False))


def abandon(stream: TextIO) -> None:
    """Lets go of what a stream still holds, which nobody will read."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()


class _Stream:
    """A text stream with other ways to write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):  # names of files and texts may hold what an encoding lacks
            utf8 = (stream.encoding or "").lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Results(_Stream):
    """Standard output."""

    gone = False

    def write(self, text: str) -> int:
        with self._faults():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._faults():
            self._stream.flush()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            with disk_errors("standard output"), reader_gone():
                yield
        except ReaderGoneError:
            self.gone = True
            raise


class _Remarks(_Stream):
    """Standard error, which may be full or closed: that stops no work."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()
