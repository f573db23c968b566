"""Files of predictions: the format that their name asks for, and rows as bytes in it."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

from albert.errors import AlbertError, ErrorKind, require_extra

_FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv"}
_QUOTED = re.compile(r'[",\r\n]')
_UNFIT = {"csv": re.compile("[\0\ud800-\udfff]"), "tsv": re.compile("[\0\t\r\n\ud800-\udfff]")}
_HALF = re.compile("[\ud800-\udfff]")  # lone surrogates, which UTF-8 cannot hold

Record = dict[str, Any]


def _zst(data: bytes) -> bytes:
    return bytes(require_extra("pyarrow", "data").compress(data, codec="zstd", asbytes=True))


# The outputs of each can be concatenated: readers take them for one file.
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": _zst,
}


@dataclass(frozen=True)
class Form:
    """How a file of rows is written: its format, and the ending of its compression ("" for none)."""

    format: str
    compression: str = ""

    @property
    def is_table(self) -> bool:
        """Whether all rows share the columns of a header."""
        return self.format in ("csv", "tsv")

    @classmethod
    def of(cls, name: str, format: str | None = None) -> Form:
        """The form that a file's name asks for. If the ending names none, `format` decides; the default is JSON lines.

        Raises `AlbertError` (usage) for an ending or format that cannot be written, and if the two differ.
        """
        if format not in (None, *_FORMATS.values()):
            raise AlbertError(ErrorKind.USAGE, f"output format {format!r}", expected="jsonl, json, csv or tsv")
        path = Path(name)
        compression = path.suffix.lower() if path.suffix.lower() in COMPRESSORS else ""
        ending = (path.with_suffix("") if compression else path).suffix.lower()
        named = _FORMATS.get(ending)
        if ending == ".parquet" or (ending and not format and not named):
            raise AlbertError(
                ErrorKind.USAGE,
                f"output {name}",
                expected=f"{', '.join(_FORMATS)}, alone or with {', '.join(COMPRESSORS)}",
                got=ending,
                hint="write .jsonl, which pyarrow and pandas read" if ending == ".parquet" else
                "choose another name, or say what to write with --output-format",
            )  # fmt: skip
        if format and named and format != named:
            raise AlbertError(ErrorKind.USAGE, f"output {name}", expected=f"{named} in it, as it is called", got=format)
        if compression == ".zst":
            require_extra("pyarrow", "data")
        return cls(format or named or "jsonl", compression)


class Records:
    """Rows as bytes of a form. `columns` are those of a table; in JSON each row has its own.

    `blank` counts the rows of a table that lacked a column. `nulls` counts the numbers that JSON cannot hold.
    """

    def __init__(self, form: Form, columns: Sequence[str]) -> None:
        self.form = form
        self.columns = tuple(columns)
        self.blank = 0
        self.nulls = 0

    def portion(self, rows: Iterable[tuple[str, Record]], *, first: bool) -> bytes:
        """Some rows as they are written to a file, each with its place ("file:line"). The `first` portion begins the
        file.

        Raises `AlbertError` (bad-data) for a row that the format cannot hold.
        """
        match self.form.format:
            case "jsonl":
                text = "".join(f"{self._json(row)}\n" for _, row in rows)
            case "json":
                text = ("[\n" if first else ",\n") + ",\n".join(self._json(row) for _, row in rows)
            case _:
                text = self.header() if first else ""
                text += "".join(self.table_row(place, row) for place, row in rows)
        return self._pack(text)

    def head(self, rows: int) -> bytes:
        """What is written over the first bytes when the number of rows is known: nothing in these forms."""
        return b""

    def end(self) -> bytes:
        """What follows the last row."""
        return self._pack("\n]\n" if self.form.format == "json" else "")

    def header(self) -> str:
        """A table's first line."""
        return self._line("the header", self.columns)

    def table_row(self, place: str, row: Record) -> str:
        """A row of a table. Raises `AlbertError` (bad-data) if the table cannot hold its columns or values."""
        if others := [name for name in row if name not in self.columns]:
            raise AlbertError(
                ErrorKind.DATA,
                f"{place}: column {others[0]!r}",
                expected=f"the columns of the header, which is written: {', '.join(self.columns)}",
                hint="write .jsonl, where every row has its own, or give a file in the place of a stream",
            )
        self.blank += len(row) < len(self.columns)
        return self._line(place, [self._cell(row.get(name)) for name in self.columns])

    def _line(self, place: str, cells: Sequence[str]) -> str:
        for name, cell in zip(self.columns, cells, strict=True):
            if found := _UNFIT[self.form.format].search(cell):
                raise AlbertError(
                    ErrorKind.DATA,
                    f"{place}: {found[0]!r} in column {name!r}",
                    expected=f"what {self.form.format.upper()} can hold",
                    hint="write .jsonl" if self.form.format == "csv" else "write .csv or .jsonl",
                )
        if self.form.format == "tsv":  # cells of TSV are never quoted, as in GLUE's files
            return "\t".join(cells) + "\n"
        return ",".join(map(_quoted, cells)) + "\n"

    def _cell(self, value: Any) -> str:
        """A value as a cell: JSON for values that a table cannot hold."""
        if value is None or isinstance(value, str):
            return value or ""
        if isinstance(value, (list, tuple, dict, bool)):
            return self._json(value)
        return str(value) if isinstance(value, (int, float)) else plain(value)

    def _json(self, value: Any) -> str:
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=plain)
        except ValueError:  # NaN and infinities: JSON has none, but Python writes them
            text = json.dumps(self._finite(value), ensure_ascii=False, default=plain)
        return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)

    def _finite(self, value: Any) -> Any:
        """The value with null for each NaN and infinity."""
        if isinstance(value, dict):
            return {name: self._finite(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._finite(item) for item in value]
        if not isinstance(value, float) or math.isfinite(value):
            return value
        self.nulls += 1
        return None

    def _pack(self, text: str) -> bytes:
        data = text.encode()
        return COMPRESSORS[self.form.compression](data) if data and self.form.compression else data


def plain(value: Any) -> str:
    """Values without a type in JSON, as text: times in ISO 8601, numbers with all digits, bytes in base64."""
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        seconds = f"{abs(value).total_seconds():.6f}".rstrip("0").rstrip(".")
        return f"{'-' * (value < timedelta())}PT{seconds}S"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell
