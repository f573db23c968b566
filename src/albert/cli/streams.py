"""Standard streams that are closed, full or without a reader: exit codes tell of them, never a traceback."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from albert.errors import AlbertError
from albert.storage.files import disk_errors
from albert.storage.pipes import ReaderGoneError, reader_gone

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


def finish_streams() -> None:
    """Writes what is left of the results, since at exit nobody could tell of a fault.

    Raises `AlbertError` (disk), unless that has been told before.
    """
    results = sys.stdout
    if not isinstance(results, _Results):
        return
    try:
        if not results.fault:
            results.flush()
    except ReaderGoneError:
        pass
    finally:
        if results.fault:
            _abandon(results)


def reader_left() -> bool:
    """Whether whoever read the results has left."""
    return isinstance(sys.stdout, _Results) and sys.stdout.gone


def _abandon(results: _Results) -> None:
    """Lets go of what is held, which nobody will read."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, results.fileno())
        os.close(null)
        results.flush()


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, as JSON writes it: names of files and texts may hold anything."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error("albert.escaped", _escaped)


class _Stream:
    """A text stream with other ways to write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="albert.escaped")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Results(_Stream):
    """Standard output. `fault` says whether something could not be written, `gone` whether the reader has left."""

    fault = gone = False

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
        except (ReaderGoneError, AlbertError) as error:
            self.fault, self.gone = True, isinstance(error, ReaderGoneError)
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
