"""Reads compressed files, known by their endings, to their last byte. Nothing else may follow the data."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol

from albert.errors import require_extra

_PART = 1 << 16
_DICTIONARY = 1 << 29  # bytes that the decoder of an .xz may take; `xz -9` takes 65 MiB


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Streams(io.RawIOBase):
    """The content of compressed streams, one after the other, as `pbzip2` and `xz -T0` write them. Zeros may follow.

    Python's own readers take a damaged second stream for the end of the file. Raises EOFError for a cut stream, and
    OSError or LZMAError for bytes that are not a stream.
    """

    def __init__(self, source: Path | IO[bytes], make: Callable[[], _Decompressor]) -> None:
        self._file = source.open("rb") if isinstance(source, Path) else source
        self._own = isinstance(source, Path)
        self._make = make
        self._current = make()
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ended:
            data = self._next() if self._current.eof else self._more()
            found = b"" if self._ended else self._current.decompress(data, len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)
        return 0

    def _more(self) -> bytes:
        data = self._file.read(_PART) if self._current.needs_input else b""
        if self._current.needs_input and not data:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        return data

    def _next(self) -> bytes:
        """The start of the next stream, if there is one."""
        data = self._current.unused_data.lstrip(b"\0")
        while not data and (more := self._file.read(_PART)):
            data = more.lstrip(b"\0")
        self._ended = not data
        self._current = self._make()
        return data

    def close(self) -> None:
        if self._own:
            self._file.close()
        super().close()


def _zst(source: Path | IO[bytes]) -> IO[Any]:
    """Reads with pyarrow: the package zstandard takes a truncated file for a whole one."""
    stream: IO[Any] = require_extra("pyarrow", "data").input_stream(source, compression="zstd")
    return stream


def _gz(source: Path | IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(source) if isinstance(source, Path) else gzip.GzipFile(fileobj=source)


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(memlimit=_DICTIONARY)


OPENERS: dict[str, Callable[[Path | IO[bytes]], Any]] = {
    ".gz": _gz,
    ".xz": lambda source: _Streams(source, _xz),
    ".bz2": lambda source: _Streams(source, bz2.BZ2Decompressor),
    ".zst": _zst,
}
