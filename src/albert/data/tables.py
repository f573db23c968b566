"""Rows from CSV, TSV, JSONL, CoNLL, fastText, plain lines, Parquet and JSON documents, each with its number."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from albert.data.conll import looks_like_conll, sentences
from albert.data.documents import document_rows, is_document, parquet_columns, parquet_rows
from albert.data.sources import MAX_LINE_BYTES, Problems, suffix_of, text_lines
from albert.data.spans import Interval
from albert.errors import AlbertError, ErrorKind

Format = Literal["csv", "tsv", "jsonl", "json", "parquet", "conll", "fasttext", "lines"]
_EXTENSIONS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".txt": "lines",
}
_MAYBE_CONLL = ("lines", "tsv")  # names that CoNLL files go by, too
_LABEL = "__label__"  # in front of fastText's labels
_UNNAMED = "index"  # the first column of tables that pandas wrote
_SAMPLE = 100  # lines that decide on format, separator and header
TEXT_COLUMN = "text"  # the name of the only column of plain lines
SPANS_COLUMN = "spans"  # beside it, the entities of a CoNLL file

# Names that a column of a labelled table commonly has (GLUE, Kaggle, the hub); lower case.
TEXT_NAMES = (
    "text", "sentence", "review", "message", "comment", "tweet", "content", "body", "document",
    "description", "utterance", "question", "title",
)  # fmt: skip
PAIR_NAMES = (
    ("sentence1", "sentence2"), ("text1", "text2"), ("text_a", "text_b"), ("text", "text_pair"),
    ("question1", "question2"), ("premise", "hypothesis"), ("question", "sentence"), ("question", "context"),
    ("article", "question"), ("query", "passage"), ("sent1", "sent2"),
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "category", "target", "gold_label", "sentiment", "intent", "topic",
    "score", "rating", "stars", "is_duplicate", "spans", "entities", "answers", "answer",
)  # fmt: skip
CHOICES_NAMES = ("choices", "options", "endings", "choice")  # a column of lists
_KNOWN_NAMES = {*TEXT_NAMES, *LABEL_NAMES, *itertools.chain.from_iterable(PAIR_NAMES), "id", "index"}


@dataclass(frozen=True)
class Row:
    """One record: the line where it starts (in JSON documents and Parquet: its number), its values by column, and its
    text's words where the file has them.
    """

    number: int
    values: dict[str, Any]
    words: tuple[Interval, ...] = ()


@dataclass(frozen=True)
class Layout:
    """How a table is written: format, separator, columns, and whether the first record names them."""

    format: Format
    delimiter: str
    columns: tuple[str, ...]
    has_header: bool


class Table:
    """A file (or "-", standard input) of records; iterate it to stream its rows.

    Raises `AlbertError` (bad-data) for a missing or empty file, and for bad lines: at the first one, or,
    if `problems` is given to `rows`, collected there.
    """

    def __init__(self, path: str | Path, *, format: str | None = None, encoding: str = "utf-8") -> None:
        self.path = str(path)
        self.encoding = encoding
        self._problems = Problems(self.path)
        self._records: Callable[[], Iterable[dict[str, Any]]] | None = None  # of files that are no lines
        if format == "json" or (format is None and is_document(self.path)):
            documents = document_rows(self.path, encoding=encoding)
            self._records = lambda: documents
            names = tuple(dict.fromkeys(name for values in documents for name in values))
            self.layout = Layout("json", "", names, False)
            return
        if format == "parquet" or (format is None and suffix_of(Path(self.path)) == ".parquet"):
            self._records = lambda: parquet_rows(self.path)
            self.layout = Layout("parquet", "", parquet_columns(self.path), False)
            return
        self._lines = self._numbered()
        self._head = list(itertools.islice(self._lines, _SAMPLE))
        if not any(line.strip() for _, line in self._head):
            self._problems.raise_if_any()
            raise AlbertError(ErrorKind.DATA, self.path, expected="rows of data", got="an empty file")
        self.layout = _layout(self.path, format, [line for _, line in self._head])

    @property
    def columns(self) -> tuple[str, ...]:
        return self.layout.columns

    def sample(self) -> list[Row]:
        """The first rows, without consuming them; bad ones left out."""
        if self._records is not None:
            return list(itertools.islice(self._numbered_records(), _SAMPLE))
        return list(self._parse(iter(self._head), Problems(self.path)))

    def __iter__(self) -> Iterator[Row]:
        return self.rows(None)

    def rows(self, problems: Problems | None) -> Iterator[Row]:
        """Every row once. Bad lines go to `problems`, or raise at once when it is None."""
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
        return (Row(number, values) for number, values in enumerate(self._records(), 1))

    def _numbered(self) -> Iterator[tuple[int, str]]:
        return text_lines(self.path, encoding=self.encoding, problems=self._problems)

    def _parse(self, lines: Iterator[tuple[int, str]], problems: Problems) -> Iterator[Row]:
        layout = self.layout
        if layout.format == "lines":
            for number, line in lines:
                yield Row(number, {TEXT_COLUMN: line})
        elif layout.format == "jsonl":
            yield from _json_rows(lines, problems)
        elif layout.format == "fasttext":
            for number, line in lines:
                labels, text = _fasttext(line)
                column = layout.columns[1]
                yield Row(number, {TEXT_COLUMN: text, column: labels if column == "labels" else " ".join(labels)})
        elif layout.format == "conll":
            for sentence in sentences(lines, problems):
                spans = [list(span) for span in sentence.spans]
                yield Row(sentence.number, {TEXT_COLUMN: sentence.text, SPANS_COLUMN: spans}, sentence.words)
        else:
            records = _records(lines, layout.delimiter, quoted=layout.format == "csv", problems=problems)
            width = len(layout.columns)
            for index, (number, cells) in enumerate(records):
                if index == 0 and layout.has_header:
                    continue
                if len(cells) != width:
                    problems.add(number, "ragged row", expected=f"{width} columns", got=str(len(cells)))
                    continue
                yield Row(number, dict(zip(layout.columns, cells, strict=True)))


def _fasttext(line: str) -> tuple[list[str], str]:
    """The labels in front of a line, without their prefix, and its text."""
    words = line.split(" ")
    count = next((at for at, word in enumerate(words) if not word.startswith(_LABEL)), len(words))
    return [word.removeprefix(_LABEL) for word in words[:count]], " ".join(words[count:])


def _json_rows(lines: Iterator[tuple[int, str]], problems: Problems) -> Iterator[Row]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add(number, "not JSON", expected="one object a line", got=str(error)[:100])
            continue
        if isinstance(value, dict):
            yield Row(number, value)
        else:
            problems.add(number, "not an object", expected='{"column": value, …}', got=type(value).__name__)


def _records(
    lines: Iterable[tuple[int, str]], delimiter: str, *, quoted: bool, problems: Problems
) -> Iterator[tuple[int, list[str]]]:
    """(line number of its start, cells) of each record; quoted cells may span lines."""
    if not quoted:
        for number, line in lines:
            if line.strip():
                yield number, line.split(delimiter)
        return
    csv.field_size_limit(MAX_LINE_BYTES)
    starts: list[int] = []

    def feed() -> Iterator[str]:
        for number, line in lines:
            if line or starts:
                starts.append(number)
                yield line + "\n"

    source = feed()
    while True:
        starts.clear()
        # A reader a record: after an error the next record starts clean.
        reader = csv.reader(source, delimiter=delimiter, strict=True)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(starts[0] if starts else 1, f"bad quoting ({error})", expected='"" for " in a quoted cell')
            continue
        if cells:
            yield starts[0], cells


# --- what the table looks like -------------------------------------------------------------------------


def _layout(path: str, format: str | None, lines: list[str]) -> Layout:
    kind = _format(path, format, lines)
    if kind == "lines":
        return Layout("lines", "", (TEXT_COLUMN,), False)
    if kind == "conll":
        return Layout("conll", "", (TEXT_COLUMN, SPANS_COLUMN), False)
    if kind == "fasttext":
        single = all(len(_fasttext(line)[0]) == 1 for line in lines if line.strip())
        return Layout("fasttext", "", (TEXT_COLUMN, "label" if single else "labels"), False)
    if kind == "jsonl":
        columns: dict[str, None] = {}
        for row in _json_rows(iter(enumerate(lines, 1)), Problems(path)):
            columns.update(dict.fromkeys(row.values))
        return Layout("jsonl", "", tuple(columns), False)
    delimiter = "\t" if kind == "tsv" else _delimiter(lines)
    numbered = list(enumerate(lines, 1))
    records = [cells for _, cells in _records(iter(numbered), delimiter, quoted=kind == "csv", problems=Problems(path))]
    first = [cell.strip() for cell in records[0]] if records else []
    if _is_header(first, records[1:]):
        if len(set(first)) != len(first):
            raise AlbertError(ErrorKind.DATA, f"{path}:1: header", expected="distinct column names", got=str(first))
        return Layout(kind, delimiter, (first[0] or _UNNAMED, *first[1:]), True)
    return Layout(kind, delimiter, tuple(str(i + 1) for i in range(len(first))), False)


def _format(path: str, format: str | None, lines: list[str]) -> Format:
    if format is not None:
        if format not in get_args(Format):
            raise AlbertError(ErrorKind.USAGE, f"format {format!r}", expected=" or ".join(get_args(Format)))
        return format  # type: ignore[return-value]
    by_name = _EXTENSIONS.get(suffix_of(Path(path)))
    if by_name in (None, *_MAYBE_CONLL) and looks_like_conll(lines):
        return "conll"
    first = next(line for line in lines if line.strip())
    if by_name in (None, "lines") and first.startswith(_LABEL):
        return "fasttext"
    if by_name is not None:
        return by_name
    if first.lstrip().startswith("{"):
        return "jsonl"
    if "\t" in first:
        return "tsv"
    names = {cell.strip().strip('"').lower() for cell in first.split(_delimiter(lines))}
    return "csv" if names & _KNOWN_NAMES and len(first) < 1000 else "lines"


def _delimiter(lines: list[str]) -> str:
    """The separator that cuts the most records into the same number, above one, of cells."""
    best, best_count = ",", 0
    for delimiter in ",;\t|":
        numbered = enumerate(lines[:50], 1)
        widths = [len(c) for _, c in _records(numbered, delimiter, quoted=True, problems=Problems(""))]
        count = widths.count(widths[0]) if widths and widths[0] > 1 else 0
        if count > best_count:
            best, best_count = delimiter, count
    return best


def _is_header(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first record names columns: a known name, or short words unlike what stands below them."""
    if not first or not all(first[1:]) or any(_is_number(cell) or len(cell) > 64 for cell in first):
        return False
    if {cell.lower() for cell in first} & _KNOWN_NAMES:
        return True
    for index, name in enumerate(first):
        below = [record[index] for record in rest if len(record) == len(first)]
        repeated = len(set(below)) <= len(below) / 2 and name not in below
        if below and (repeated or all(_is_number(cell) for cell in below)):
            return True
    return False


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
