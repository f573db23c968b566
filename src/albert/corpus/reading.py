"""Reads running text from files, one paragraph at a time. Memory does not grow with the corpus."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from albert.corpus.files import Kind, corpus_files, kind_of
from albert.data.documents import document_rows, is_document
from albert.data.sources import lines_of, require_text
from albert.errors import AlbertError, ErrorKind, require_extra

MAX_LINE_BYTES = 64 << 20  # a book of 60 million letters is still one line
_ROWS = 256  # rows of Parquet in memory at a time


def corpus_lines(paths: Sequence[Path]) -> Iterator[str]:
    """The paragraphs of all `corpus_files`; see `paragraphs`."""
    for path in corpus_files(paths):
        for _, paragraph in paragraphs(path):
            if paragraph is not None:
                yield paragraph


def paragraphs(path: Path, *, column: str = "text") -> Iterator[tuple[int, str | None]]:
    """(line or row, paragraph) for each paragraph, stripped and never blank, and (…, None) at the end of each document.

    In text, a paragraph is a line, and a document ends at a blank line. In JSON and Parquet each row is a document: the
    string `column`, or a list of strings under that name or "paras". Raises `AlbertError` (bad-data) with file and line
    for what cannot be read.
    """
    match kind_of(path):
        case Kind.PARQUET:
            return _of_parquet(path, column)
        case Kind.JSON if is_document(str(path)):
            return _of_rows(path, enumerate(document_rows(str(path), encoding="utf-8"), 1), column)
        case Kind.JSON:
            return _of_rows(path, _json_lines(path), column)
    return _of_text(path)


def _of_text(path: Path) -> Iterator[tuple[int, str | None]]:
    number, within = 0, False
    for number, line in _lines(path):
        if "\0" in line:
            raise _unreadable(path, number, expected="UTF-8 text", got="a NUL byte, so binary data")
        if paragraph := line.strip():
            yield number, paragraph
        elif within:
            yield number, None
        within = bool(paragraph)
    if within:
        yield number, None


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in _lines(path):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise _unreadable(path, number, expected="a JSON object", got=str(error)) from None


def _of_rows(path: Path, rows: Iterable[tuple[int, Any]], column: str) -> Iterator[tuple[int, str | None]]:
    for number, row in rows:
        try:
            if not isinstance(row, dict):
                raise ValueError(f"a {type(row).__name__}")
            if column not in row and "paras" not in row:
                raise ValueError(f"keys {sorted(row)[:8]}")
            parts = _parts(row[column] if column in row else row["paras"])
        except ValueError as error:
            expected = f'a JSON object with "{column}" or "paras"'
            raise _unreadable(path, number, expected=expected, got=str(error)) from None
        for part in parts:
            yield number, part
        yield number, None


def _of_parquet(path: Path, column: str) -> Iterator[tuple[int, str | None]]:
    parquet = require_extra("pyarrow.parquet", "data")
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if column not in names:
                raise ValueError(f"columns {names[:8]}")
            for batch in file.iter_batches(_ROWS, columns=[column]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    for part in _parts(value):
                        yield number, part
                    yield number, None
    except (ValueError, OSError) as error:  # pyarrow's own errors are both
        if isinstance(error, AlbertError):
            raise
        expected = f'a Parquet file with texts in its column "{column}"'
        raise _unreadable(path, number, expected=expected, got=str(error)) from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(lines_of(str(path), MAX_LINE_BYTES), 1):
        if number == 1:
            require_text(str(path), raw, "utf-8")
        if len(raw) > MAX_LINE_BYTES:
            raise _unreadable(path, number, expected=f"lines of at most {MAX_LINE_BYTES:,} bytes", got="a longer one")
        try:
            yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _unreadable(path, number, expected="UTF-8 text", got=str(error)) from None


def _parts(value: Any) -> list[str]:
    """The paragraphs of a document's value. Raises `ValueError` if it is not text."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"a {type(value).__name__}" + " with other things than texts" * isinstance(value, list))
    for text in texts:
        _ = text.isascii() or text.encode()  # a lone surrogate is a UnicodeEncodeError, so a ValueError
    return [line for text in texts for part in text.split("\n") if (line := part.strip())]


def _unreadable(path: Path, number: int, *, expected: str, got: str) -> AlbertError:
    hint = "mend it or leave the file out"
    return AlbertError(ErrorKind.DATA, f"{path}:{number}", expected=expected, got=got[:200], hint=hint)
