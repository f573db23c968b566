"""Rows from CSV, TSV, Excel, JSONL, CoNLL, fastText, plain lines, Parquet and JSON documents, each with its number."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from albert.data import fasttext
from albert.data.conll import sentences
from albert.data.documents import document_rows, is_document, parquet_columns, parquet_rows
from albert.data.headers import CHOICES_NAMES, LABEL_NAMES, PAIR_NAMES, TEXT_NAMES
from albert.data.layouts import (
    SPANS_COLUMN,
    TEXT_COLUMN,
    Layout,
    json_objects,
    layout_of,
    records,
    require_options,
    separator_line,
)
from albert.data.reading import DataOptions, DataSource, Format
from albert.data.sources import Problems, suffix_of, text_lines
from albert.data.spans import Interval
from albert.data.workbooks import ENDINGS, sheet_lines
from albert.errors import AlbertError, ErrorKind

_SAMPLE = 100  # the number of first lines that decide on format, separator and header
_TYPED = ("conll", "fasttext", "lines")  # formats whose texts are words; they have no missing values


@dataclass(frozen=True)
class Row:
    """One record: the line where it starts, its values by column, and its text's words if the file has them.

    JSON documents and Parquet have numbers in place of lines. With `keep_na`, cells like NA and None are values.
    """

    number: int
    values: dict[str, Any]
    words: tuple[Interval, ...] = ()
    keep_na: bool = True


class Table:
    """A file (or "-", standard input) of records. Iterate it to stream its rows.

    `wanted` are names that columns are asked for by, else those of the source: a first row that has them is a header.
    `remarks` tell what was assumed of the file, and `advice` is the option that reads it otherwise. The other options
    are those of `DataSource`.

    Raises `AlbertError` (bad-data) for a missing or empty file, and for bad lines: for the first one, or, if `rows`
    gets `problems`, not at all, and all bad lines are collected there.
    """

    def __init__(
        self,
        data: str | Path | DataSource,
        *,
        wanted: Collection[str] = (),
        **options: Unpack[DataOptions],
    ) -> None:
        self.source = source = DataSource.of(data, **options)
        self.path = source.path
        format, wanted = source.format, wanted or source.columns()
        self._problems = Problems(self.path)
        self._records: Callable[[], Iterable[dict[str, Any]]] | None = None  # the columns of files without lines
        if format == "json" or (format is None and is_document(self.path)):
            require_options(source, "json")
            documents = document_rows(self.path, encoding=source.encoding)
            self._records = lambda: documents
            columns = tuple(dict.fromkeys(name for values in documents for name in values))
            self.layout = Layout("json", "", columns)
            return
        if format == "parquet" or (format is None and suffix_of(Path(self.path)) == ".parquet"):
            require_options(source, "parquet")
            self._records = lambda: parquet_rows(self.path)
            self.layout = Layout("parquet", "", parquet_columns(self.path))
            return
        told: tuple[str, ...] = ()
        if format == "excel" or (format is None and Path(self.path).suffix.lower() in ENDINGS):
            rows, told = sheet_lines(self.path)
            self._lines = iter(rows)
        else:
            self._lines = text_lines(self.path, encoding=source.encoding, problems=self._problems)
        self._head = list(itertools.islice(self._lines, _SAMPLE))
        if not any(line.strip() for _, line in self._head):
            self._problems.raise_if_any()
            raise AlbertError(ErrorKind.DATA, self.path, expected="rows of data", got="an empty file")
        layout = layout_of(source, self._head, wanted)
        self.layout = replace(layout, remarks=(*told, *layout.remarks))
        if self.layout.delimiter and separator_line(self._head):
            first = next(place for place, (_, line) in enumerate(self._head) if line.strip())
            del self._head[: first + 1]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.layout.columns

    @property
    def remarks(self) -> tuple[str, ...]:
        return self.layout.remarks

    @property
    def repairs(self) -> tuple[str, ...]:
        """What was repaired in the rows that were read."""
        return tuple(self._problems.remarks)

    @property
    def advice(self) -> str | None:
        return self.layout.advice

    def sample(self) -> list[Row]:
        """The first rows, without consuming them and without bad ones."""
        if self._records is not None:
            return list(itertools.islice(self._numbered_records(), _SAMPLE))
        return list(self._parse(iter(self._head), Problems(self.path)))

    def __iter__(self) -> Iterator[Row]:
        return self.rows(None)

    def rows(self, problems: Problems | None) -> Iterator[Row]:
        """Every row once. Bad lines go to `problems`; without it the first one raises."""
        if self._records is not None:
            yield from self._numbered_records()
            return
        lines = itertools.chain(self._head, self._lines)
        for row in self._parse(lines, self._problems):
            if problems is None:
                self._problems.raise_if_any()
            yield row
        if problems is None:
            self._problems.raise_if_any()
        else:
            problems.lines.extend(self._problems.lines)
            problems.count += self._problems.count
            problems.remarks.extend(self._problems.remarks)

    def _numbered_records(self) -> Iterator[Row]:
        assert self._records is not None
        return (self._row(number, values) for number, values in enumerate(self._records(), 1))

    def _row(self, number: int, values: dict[str, Any], words: tuple[Interval, ...] = ()) -> Row:
        return Row(number, values, words, self.source.keep_na or self.layout.format in _TYPED)

    def _parse(self, lines: Iterator[tuple[int, str]], problems: Problems) -> Iterator[Row]:
        match self.layout.format:
            case "lines":
                [column] = self.layout.columns
                for number, line in _without_header(lines) if self.layout.has_header else lines:
                    yield self._row(number, {column: line})
            case "jsonl":
                for number, values in json_objects(lines, problems):
                    yield self._row(number, values)
            case "fasttext":
                yield from self._fasttext_rows(lines, problems)
            case "conll":
                for sentence in sentences(lines, problems, self.layout.words):
                    spans = [list(span) for span in sentence.spans]
                    yield self._row(sentence.number, {TEXT_COLUMN: sentence.text, SPANS_COLUMN: spans}, sentence.words)
            case _:
                yield from self._table_rows(lines, problems)

    def _fasttext_rows(self, lines: Iterator[tuple[int, str]], problems: Problems) -> Iterator[Row]:
        separators = fasttext.Separators()
        column = self.layout.columns[1]
        for number, parsed in separators.parsed(lines):
            found: Any = parsed.labels
            if column == "label" and len(found) < 2:
                found = found[0] if found else ""
            yield self._row(number, {TEXT_COLUMN: parsed.text, column: found})
        if remark := separators.remark():
            problems.remarks.append(f"{self.path}: {remark}")

    def _table_rows(self, lines: Iterator[tuple[int, str]], problems: Problems) -> Iterator[Row]:
        layout = self.layout
        found = records(lines, layout.delimiter, quoted=layout.format != "tsv", problems=problems)
        for number, cells in itertools.islice(found, int(layout.has_header), None):
            fitted = _fitted(cells, layout)
            if fitted is None:
                problems.add(number, "ragged row", expected=f"{len(layout.columns)} columns", got=str(len(cells)))
            else:
                yield self._row(number, dict(zip(layout.columns, fitted, strict=True)))


def _without_header(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The lines after the first one that is not blank."""
    return itertools.islice(itertools.dropwhile(lambda line: not line[1].strip(), lines), 1, None)


def _fitted(cells: list[str], layout: Layout) -> list[str] | None:
    """One cell per column, or None if they do not fit. Empty cells beyond the last column are left out; cells of
    unnamed last columns may be missing.
    """
    width = len(layout.columns)
    if len(cells) < width and layout.has_header and len(cells) >= layout.named:
        return cells + [""] * (width - len(cells))
    return cells[:width] if len(cells) >= width and not any(cells[width:]) else None


__all__ = [
    "CHOICES_NAMES",
    "LABEL_NAMES",
    "PAIR_NAMES",
    "SPANS_COLUMN",
    "TEXT_COLUMN",
    "TEXT_NAMES",
    "Format",
    "Layout",
    "Row",
    "Table",
]
