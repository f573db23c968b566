"""Bytes to numbered lines: compression, encoding, and faults of files from outside."""

from __future__ import annotations

import contextlib
import difflib
import io
import itertools
import lzma
import os
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from albert.data.compressed import OPENERS
from albert.errors import AlbertError, ErrorKind
from albert.storage.pipes import is_stream, open_reader

MAX_LINE_BYTES = 1 << 20
_SHOWN = 20
_BUFFER = 1 << 20
_NAMED = "let its name end in {}, or unpack it"
_NO_TEXT = (  # how a file begins, what it is, and what to do
    (rb"\xff\xfe|\xfe\xff", "UTF-16", "save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"),
    (rb"PK\x03\x04", "a workbook or a ZIP archive", "save the table as CSV; the name of a workbook ends in .xlsx"),
    (rb"\xd0\xcf\x11\xe0", "an old workbook or document of Office", "save the table as CSV or .xlsx"),
    (rb"%PDF-\d", "a PDF", "save its text, or let albert index read it"),
    (rb"PAR1\x15", "Parquet", "let its name end in .parquet, or give --format parquet"),
    (rb"\x1f\x8b\x08", "compressed", _NAMED.format(".gz")),
    (rb"BZh[1-9]1AY&SY", "compressed", _NAMED.format(".bz2")),
    (rb"\xfd7zXZ", "compressed", _NAMED.format(".xz")),
    (rb"\x28\xb5\x2f\xfd", "compressed", _NAMED.format(".zst")),
)


class Problems:
    """The faults of a file: the first twenty with their lines, and the count of all.

    `remarks` are observations that are no reason to refuse the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: list[str] = []
        self.count = 0
        self.remarks: list[str] = []

    def add(self, number: int, what: str, *, expected: str | None = None, got: str | None = None) -> None:
        """Counts a fault, and keeps it if it is among the first twenty."""
        self.count += 1
        if len(self.lines) < _SHOWN:
            facts = "".join(
                f"{', ' if i else ': '}{name} {value}"
                for i, (name, value) in enumerate(
                    pair for pair in (("expected", expected), ("got", got)) if pair[1] is not None
                )
            )
            self.lines.append(f"{self.path}:{number}: {what}{facts}")

    def raise_if_any(self) -> None:
        """Raises one `AlbertError` (bad-data) that lists them."""
        if not self.count:
            return
        if self.count == 1:
            raise AlbertError(ErrorKind.DATA, self.lines[0], hint="nothing was written; mend the line and rerun")
        more = [f"… and {self.count - _SHOWN} more"] if self.count > _SHOWN else []
        raise AlbertError(
            ErrorKind.DATA,
            f"{self.path}: {self.count} bad lines",
            hint="nothing was written; mend these lines and rerun",
            lines=[*self.lines, *more],
        )


def raw_lines(path: str, *, limit: int = -1) -> Iterator[bytes]:
    """The file's lines as bytes. Longer lines come in parts of `limit` bytes (-1: whole). "-" is standard input.

    Raises `AlbertError` (bad-data) for a file that cannot be read.
    """
    if path != "-":
        require_file(path)
    number = 0
    try:
        with _opened(Path(path)) if path != "-" else contextlib.nullcontext(sys.stdin.buffer) as lines:
            while line := lines.readline(limit):
                number += line.endswith(b"\n")
                yield line
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        what = f"{path}:{number + 1}" if number else path
        raise AlbertError(ErrorKind.DATA, what, expected="a readable file", got=str(error)[:200]) from error


def require_file(path: str) -> None:
    """Raises `AlbertError` (bad-data) where there is no file or pipe, with a name that is like it."""
    file = Path(path)
    if os.path.isfile(file) or is_stream(file):
        return
    near = [] if os.path.isdir(file) else difflib.get_close_matches(file.name, _names(file.parent), n=1)
    raise AlbertError(
        ErrorKind.DATA,
        path or 'the name ""',
        expected="a file",
        got="a folder" if path and os.path.isdir(file) else "no such file",
        hint=f"did you mean {str(file.with_name(near[0]))!r}?" if near else None,
    )


def require_whole(path: str, expected: str) -> None:
    """Raises `AlbertError` (bad-data) for standard input and pipes, where a file is read from its end."""
    if path == "-" or is_stream(Path(path)):
        raise AlbertError(ErrorKind.DATA, path, expected=expected, got="a pipe, which cannot be read from its end")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    """A file or pipe, decompressed according to its name, and buffered."""
    with contextlib.ExitStack() as stack:
        source: Any = stack.enter_context(open_reader(path)) if is_stream(path) else path
        if path.suffix.lower() in OPENERS:
            source = stack.enter_context(OPENERS[path.suffix.lower()](source))
        elif source is path:
            source = stack.enter_context(path.open("rb"))
        yield stack.enter_context(io.BufferedReader(source, _BUFFER))


def text_lines(path: str, *, encoding: str, problems: Problems) -> Iterator[tuple[int, str]]:
    """(line number, line without its end). Bad lines go to `problems` and are left out.

    A byte-order mark is dropped. A line is bad if it has bytes that are not in `encoding`, NUL characters, or more than
    1 MiB. In a file without a line feed, lines end with carriage returns, as on old Macintoshes.
    """
    for number, raw in enumerate(lines_of(path, MAX_LINE_BYTES), 1):
        if number == 1:
            require_text(path, raw, encoding)
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if len(raw) > MAX_LINE_BYTES:
            problems.add(number, "line too long", expected=f"at most {MAX_LINE_BYTES:,} bytes", got="more")
        elif b"\0" in raw:
            problems.add(number, f"NUL byte at byte {raw.index(0) + 1}", expected="text", got="binary data")
        else:
            try:
                yield number, raw.decode(encoding).rstrip("\r\n")
            except UnicodeDecodeError as error:
                problems.add(
                    number,
                    f"byte {error.start + 1} (0x{raw[error.start]:02x}) is not {encoding}",
                    expected=f"{encoding} text",
                    got="another encoding; try --encoding cp1252" if encoding == "utf-8" else "another encoding",
                )
            except LookupError:
                raise unknown_encoding(encoding) from None


def lines_of(path: str, most: int) -> Iterator[bytes]:
    """A file's lines. Of a line longer than `most` bytes, one byte more than that is given, and no more is kept.

    If a file begins without a line feed, its lines end with carriage returns. Raises `AlbertError` as `raw_lines`.
    """
    parts = raw_lines(path, limit=most + 1)
    first = next(parts, b"")
    parts = itertools.chain([first] if first else [], parts)
    return _returned(parts, most) if b"\n" not in first and b"\r" in first else _fed(parts, most)


def _fed(parts: Iterator[bytes], most: int) -> Iterator[bytes]:
    begins = True
    for part in parts:
        if begins:
            yield part
        begins = part.endswith(b"\n") or len(part) <= most


def _returned(parts: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Lines that end with carriage returns. A line feed among them ends a line, too."""
    held, told = b"", False
    for part in parts:
        *ended, rest = part.replace(b"\n", b"\r").split(b"\r")
        for line in ended:
            if not told:
                yield held + line
            held, told = b"", False
        held += rest if not told else b""
        if len(held) > most:
            yield held
            held, told = b"", True
    if held:
        yield held


def require_text(path: str, start: bytes, encoding: str) -> None:
    """Raises `AlbertError` (bad-data) for a file that begins like one whose bytes cannot be divided into lines."""
    for begins, kind, hint in _NO_TEXT:
        if re.match(begins, start):
            expected = "utf-8" if "16" in encoding else encoding
            raise AlbertError(ErrorKind.DATA, f"{path}:1: the file is {kind}", expected=expected, hint=hint)


def unknown_encoding(name: str) -> AlbertError:
    """The error for an encoding that does not exist."""
    return AlbertError(ErrorKind.USAGE, f"encoding {name!r}", expected="a name that Python knows, like utf-8")


def suffix_of(path: Path) -> str:
    """The ending that names a file's format, in lower case and without that of a compression: "A.CSV.gz" -> ".csv"."""
    return (path.with_suffix("").suffix if path.suffix.lower() in OPENERS else path.suffix).lower()


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()] if os.path.isdir(folder) else []
