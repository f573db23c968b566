"""The rows of a file as examples for a model, with what is to be known of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from albert.data.examples import Example, example_of
from albert.data.reading import DataSource
from albert.data.tables import Row, Table
from albert.errors import AlbertError, ErrorKind
from albert.predict.work import Work
from albert.text.hardening.hardener import SURROGATE, invalid_unicode


class RowReader:
    """A file's rows for a piece of work; `empty` counts those without a text."""

    def __init__(self, source: DataSource, work: Work) -> None:
        self.table = Table(source, wanted=work.wanted)
        self.columns = work.columns(self.table)
        self.empty = 0

    @property
    def rereadable(self) -> bool:
        """Whether the input can be read again, now or by a later call."""
        return Path(self.table.path).is_file()

    def rows(self) -> Iterator[Row]:
        """Each of them once. Raises `AlbertError` (bad-data) where there are none."""
        rows = iter(self.table)
        first = next(rows, None)
        if first is None:
            raise AlbertError(ErrorKind.DATA, self.table.path, expected="rows of data", got="a header alone")
        return itertools.chain([first], rows)

    def example(self, row: Row) -> Example:
        """A row as the model reads it. Raises `AlbertError` (bad-data) with its line."""
        try:
            example = example_of(row, self.columns)
        except ValueError as error:
            raise AlbertError(ErrorKind.DATA, f"{self.place(row)}: {error}") from None
        self.empty += not any(text.strip() for text in (example.text, example.text_pair or ""))
        for text in filter(SURROGATE.search, (example.text, example.text_pair or "", *example.choices)):
            fault = invalid_unicode(text)
            raise AlbertError(fault.kind, f"{self.place(row)}: {fault.what}", expected=fault.expected, got=fault.got)
        return example

    def place(self, row: Row) -> str:
        """ "file:line"."""
        return f"{self.table.path}:{row.number}"

    def remarks(self) -> tuple[str, ...]:
        """What was assumed of the file and mended in it."""
        return (*self.table.remarks, *self.table.repairs)

    def counts(self) -> tuple[tuple[int, str], ...]:
        """What was counted, in words."""
        return ((self.empty, "rows without a text, whose predictions mean nothing"),)


def in_words(counts: tuple[tuple[int, str], ...]) -> tuple[str, ...]:
    """A remark for each count that is not zero."""
    return tuple(f"{what}: {count:,}" for count, what in counts if count)
