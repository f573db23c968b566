"""How a file of lines is written: its format, separator and columns, from its name, its first lines and the options."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from albert.data import fasttext
from albert.data.conll import OUTER, WordColumns, looks_like_conll, word_columns
from albert.data.headers import UNNAMED, Header, is_known, judge, named, numbered
from albert.data.reading import FORMATS, DataSource, Format
from albert.data.sources import MAX_LINE_BYTES, Problems, suffix_of
from albert.data.workbooks import ENDINGS
from albert.errors import AlbertError, ErrorKind

Lines = Sequence[tuple[int, str]]
_EXTENSIONS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    **dict.fromkeys(ENDINGS, "excel"),
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".txt": "lines",
}
_MAYBE_CONLL = ("lines", "tsv")  # other endings of CoNLL files
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\s,;]*')  # Excel's line before the table
_SHOWN_NAMES = 6
TEXT_COLUMN = "text"  # the name of the only column of plain lines
SPANS_COLUMN = "spans"  # next to it, the entities of a CoNLL file


@dataclass(frozen=True)
class Layout:
    """How a table is written: format, separator, columns, and whether the first record names them.

    The first `named` columns have names; the others at the end have none. `words` are the columns of a CoNLL file.
    `remarks` are the assumptions, and `advice` is the option that changes them.
    """

    format: Format
    delimiter: str
    columns: tuple[str, ...]
    has_header: bool = False
    named: int = 0
    words: WordColumns = OUTER
    remarks: tuple[str, ...] = ()
    advice: str | None = None

    @property
    def is_numbered(self) -> bool:
        """Whether columns are called by their numbers, because the file does not name them."""
        return self.delimiter != "" and not self.has_header


def layout_of(source: DataSource, head: Lines, wanted: Collection[str]) -> Layout:
    """The layout of a file with these first lines; columns are asked for by the names `wanted`.

    Raises `AlbertError`: usage for an option that the format does not have, bad-data for a header with equal names.
    """
    lines = [line for _, line in head]
    separator = separator_line(head)
    kind = "csv" if separator and source.format is None else _format(source, lines, wanted)
    require_options(source, kind)
    if kind == "lines":
        return _plain(source, lines, wanted)
    if kind == "conll":
        return _conll(source, lines)
    if kind == "fasttext":
        label = "label" if fasttext.has_single_labels(lines) else "labels"
        return Layout("fasttext", "", (TEXT_COLUMN, label))
    if kind == "jsonl":
        return Layout("jsonl", "", _keys(lines))
    return _table(source, head, wanted, kind, separator)


def require_options(source: DataSource, kind: Format) -> None:
    """Raises `AlbertError` (usage) for an option that has no meaning in this format."""
    columns = source.word_column is not None or source.tag_column is not None
    for given, name, formats in (
        (source.header is not None, "--header and --no-header", ("csv", "tsv", "excel", "lines")),
        (columns, "--word-column and --tag-column", ("conll",)),
    ):
        if given and kind not in formats:
            raise AlbertError(
                ErrorKind.USAGE, f"{source.path}: {name}", expected="a file in format " + " or ".join(formats),
                got=kind, hint="--format FORMAT says what it is",
            )  # fmt: skip


def separator_line(head: Lines) -> str | None:
    """The separator in Excel's line "sep=;" before a table."""
    first = next((line for _, line in head if line.strip()), "")
    match = _SEPARATOR_LINE.fullmatch(first)
    return match[1] if match else None


def records(
    lines: Iterable[tuple[int, str]], delimiter: str, *, quoted: bool, problems: Problems
) -> Iterator[tuple[int, list[str]]]:
    """(line number of its start, cells) of each record. Quoted cells may span lines."""
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
        # One reader per record, so that an error does not affect the next record.
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


def json_objects(lines: Iterable[tuple[int, str]], problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, object) of each line. Lines that are not an object go to `problems`."""
    for number, line in lines:
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_distinct)
        except (ValueError, RecursionError) as error:
            problems.add(number, "not JSON", expected="one object a line", got=str(error)[:100])
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            problems.add(number, "not an object", expected='{"column": value, …}', got=type(value).__name__)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} twice in one object")
    return found


# --- format --------------------------------------------------------------------------------------------


def _format(source: DataSource, lines: Sequence[str], wanted: Collection[str]) -> Format:
    if source.format is not None:
        if source.format not in FORMATS:
            raise AlbertError(ErrorKind.USAGE, f"format {source.format!r}", expected=" or ".join(FORMATS))
        return source.format  # type: ignore[return-value]
    by_name = _EXTENSIONS.get(suffix_of(Path(source.path)))
    if by_name in (None, *_MAYBE_CONLL) and looks_like_conll(lines):
        return "conll"
    first = next(line for line in lines if line.strip())
    if by_name in (None, "lines") and fasttext.looks_like_fasttext(first):
        return "fasttext"
    if by_name is not None:
        return by_name
    if first.lstrip().startswith("{"):
        return "jsonl"
    if "\t" in first:
        return "tsv"
    return "csv" if _looks_like_csv(lines, wanted, header=source.header) else "lines"


def _looks_like_csv(lines: Sequence[str], wanted: Collection[str], *, header: bool | None = None) -> bool:
    """Whether lines without a name are cells: several known names in the first, or names alone, and rows like it."""
    rows = _cells(lines, _delimiter(lines))
    if not rows or len(rows[0]) < 2:
        quoted = [line for line in lines if line.lstrip().startswith('"')]
        return bool(rows and quoted) and rows[0][0] in wanted
    first, *below = rows
    alike = sum(len(row) == len(first) for row in below)
    if header:
        return alike == len(below)
    known = sum(is_known(name) or name in wanted for name in first)
    words = all(re.fullmatch(r"[\w.-]+", name) for name in first)
    return 2 * alike >= len(below) and (known > 1 or (known == 1 and words and alike > 0))


def _delimiter(lines: Sequence[str]) -> str:
    """The separator that divides the most records into the same number of cells, above one."""
    best, best_count = ",", 0
    for delimiter in ",;\t|":
        widths = [len(row) for row in _cells(lines[:50], delimiter)]
        count = widths.count(widths[0]) if widths and widths[0] > 1 else 0
        if count > best_count:
            best, best_count = delimiter, count
    return best


def _cells(lines: Sequence[str], delimiter: str, *, quoted: bool = True) -> list[list[str]]:
    """The records of some lines, without white space around their cells."""
    found = records(enumerate(lines, 1), delimiter, quoted=quoted, problems=Problems(""))
    return [[cell.strip() for cell in cells] for _, cells in found]


# --- columns -------------------------------------------------------------------------------------------


def _keys(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for _, row in json_objects(enumerate(lines, 1), Problems("")) for key in row))


def _plain(source: DataSource, lines: Sequence[str], wanted: Collection[str]) -> Layout:
    """Plain lines; the first is the column's name where the user says so, or a stream has the wanted one there."""
    filled = [line for line in lines if line.strip()]
    first = filled[0].strip()
    streamed = suffix_of(Path(source.path)) != ".txt" and first in wanted and len(filled) > 1
    if source.header or (source.header is None and streamed):
        told = () if source.header else (f"{source.path}: {_taken((first,))}",)
        return Layout("lines", "", (first,), True, remarks=told)
    tabs = {line.count("\t") for line in filled}
    advice = None
    if len(filled) > 1 and len(tabs) == 1 and tabs != {0}:
        advice = "every line has a tab: --format tsv reads columns"
    elif len(filled) > 1 and _looks_like_csv(lines, wanted):
        advice = "the first line looks like names of columns: --format csv reads them"
    elif len(filled) > 1 and is_known(first):
        advice = "the first line may be the column's name: --header takes it as that"
    told = () if advice is None else (f"{source.path}: read as plain lines; {advice}",)
    return Layout("lines", "", (TEXT_COLUMN,), remarks=told, advice=advice)


def _conll(source: DataSource, lines: Sequence[str]) -> Layout:
    words = word_columns(source.path, lines, word=source.word_column, tag=source.tag_column)
    told = () if words.told is None else (f"{source.path}: {words.told}",)
    return Layout("conll", "", (TEXT_COLUMN, SPANS_COLUMN), words=words, remarks=told)


def _table(source: DataSource, head: Lines, wanted: Collection[str], kind: Format, separator: str | None) -> Layout:
    if separator:
        head = head[next(place for place, (_, line) in enumerate(head) if line.strip()) + 1 :]
    lines = [line for _, line in head]
    delimiter = separator or {"tsv": "\t", "excel": ","}.get(kind) or _delimiter(lines)
    problems = Problems(source.path)
    found = list(records(head, delimiter, quoted=kind != "tsv", problems=problems))
    rows = [[cell.strip() for cell in cells] for _, cells in found]
    if not rows:
        problems.raise_if_any()
        raise AlbertError(ErrorKind.DATA, source.path, expected="rows of data", got="an empty file")
    first, *below = rows
    if _lacks_name(first, below):
        first = ["", *first]
    header = judge(first, below, wanted) if source.header is None else Header(source.header, sure=True)
    if not header.there:
        columns = numbered(len(rows[0]))
        told = f"{source.path}: no header, columns are called {_listed(columns)}; --header takes the first row as names"
        layout = Layout(kind, delimiter, columns, advice="--header takes the first row as names")
        return layout if source.header is False else replace(layout, remarks=(told,))
    columns = named(first)
    if len(set(columns)) != len(columns):
        raise AlbertError(
            ErrorKind.DATA,
            f"{source.path}:{found[0][0]}: header",
            expected="distinct column names",
            got=str(rows[0]),
            hint="rename one, or read the row as data with --no-header",
        )
    if not below and not header.sure:
        raise AlbertError(
            ErrorKind.DATA,
            f"{source.path}:{found[0][0]}: one row alone",
            expected="rows of data",
            got=_listed(columns),
            hint="--no-header reads it as data, --header as names of columns",
        )
    told = f"{source.path}:{found[0][0]}: {_taken(columns)}"
    width = max((place for place, name in enumerate(first, 1) if name), default=0)
    advice = None if header.sure else "--no-header reads the first row as data"
    return Layout(kind, delimiter, columns, True, named=width, remarks=() if header.sure else (told,), advice=advice)


def _lacks_name(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether rows have one more cell than the first row, at the front, that counts them. R writes no name for it."""
    if not below or UNNAMED in first or any(len(row) != len(first) + 1 or not row[0].isdecimal() for row in below):
        return False
    numbers = [int(row[0]) for row in below]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _taken(names: Sequence[str]) -> str:
    return f"the first row was taken as names of columns, {_listed(names)}; --no-header reads it as data"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:_SHOWN_NAMES])
    return shown + (", …" if len(names) > _SHOWN_NAMES else "")
