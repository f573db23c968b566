"""Rows from files without lines: JSON documents (SQuAD, RACE, DREAM, arrays of objects) and Parquet."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from albert.data.arrow import rows_of
from albert.data.folders import visible
from albert.data.headers import LABEL_NAMES
from albert.data.sources import (
    MAX_LINE_BYTES,
    lines_of,
    raw_lines,
    require_text,
    require_whole,
    suffix_of,
    unknown_encoding,
)
from albert.errors import AlbertError, ErrorKind, require_extra
from albert.storage.pipes import is_stream

Values = dict[str, Any]
MAX_DOCUMENT_BYTES = 256 << 20
_BATCH = 1024  # rows in memory at a time
_KINDS = "SQuAD, RACE, DREAM, or an array of objects"


def is_document(path: str) -> bool:
    """Whether a path is one JSON document, by its name, or a folder of them. A .json with a row per line is not."""
    if os.path.isdir(path):
        return True
    if suffix_of(Path(path)) != ".json":
        return False
    if not os.path.isfile(path):
        return is_stream(Path(path))  # which can be read only once
    lines = (line for line in lines_of(path, MAX_LINE_BYTES) if line.strip())
    first, second = itertools.islice(itertools.chain(lines, [b"", b""]), 2)
    if len(first) > MAX_LINE_BYTES:  # longer than a row may be
        return True
    try:
        value = json.loads(first)
        return not isinstance(value, dict) or not (second or _is_row(value))
    except (ValueError, RecursionError):
        return True


def document_rows(path: str, *, encoding: str) -> list[Values]:
    """All rows of a JSON file, or of the .json and .txt files of a folder (RACE), in order.

    Raises `AlbertError` (bad-data) for what is not JSON or has none of the known shapes.
    """
    files = _below(Path(path)) if os.path.isdir(path) else [Path(path)]
    return [row for file in files for row in _rows_of_file(str(file), encoding)]


def _below(folder: Path) -> list[Path]:
    """The files of a folder in RACE's form. Hidden files, such as an editor's copies, are left out."""
    files = [path for path in visible(folder)[0] if suffix_of(path) in (".json", ".txt")]
    if not files:
        raise AlbertError(ErrorKind.DATA, str(folder), expected="a file, or a folder of .json or .txt", got="neither")
    return files


def parquet_columns(path: str) -> tuple[str, ...]:
    """The columns of a Parquet file. Raises `AlbertError` (bad-data) for any other file."""
    parquet = require_extra("pyarrow.parquet", "data")
    require_whole(path, "a Parquet file")
    try:
        with parquet.ParquetFile(path) as file:
            names = tuple(file.schema_arrow.names)
    except (ValueError, OSError) as error:  # pyarrow's own errors are both
        raise AlbertError(ErrorKind.DATA, path, expected="a Parquet file", got=str(error)[:200]) from None
    if twice := [name for name in names if names.count(name) > 1]:
        raise AlbertError(
            ErrorKind.DATA,
            f"{path}: columns",
            expected="distinct column names",
            got=f"{twice[0]!r} {len(twice)} times",
            hint="rename one of them",
        )
    return names


def parquet_rows(path: str) -> Iterator[Values]:
    """The rows of a Parquet file, streamed. Raises `AlbertError` (bad-data) for a damaged one."""
    parquet = require_extra("pyarrow.parquet", "data")
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                for values in rows_of(batch):
                    number += 1
                    yield values
    except (ValueError, OSError) as error:
        raise AlbertError(
            ErrorKind.DATA, f"{path}:{number + 1}", expected="a whole Parquet file", got=str(error)[:200]
        ) from None


def _rows_of_file(path: str, encoding: str) -> list[Values]:
    try:
        raw = _content(path).removeprefix(b"\xef\xbb\xbf")
        if "16" not in encoding:
            require_text(path, raw, encoding)
        if not raw.strip():
            raise AlbertError(ErrorKind.DATA, path, expected="rows of data", got="an empty file")
        value = json.loads(raw.decode(encoding))
    except UnicodeDecodeError as error:
        raise AlbertError(ErrorKind.DATA, f"{path}: byte {error.start + 1}", expected=f"{encoding} text") from None
    except LookupError:
        raise unknown_encoding(encoding) from None
    except RecursionError:
        raise AlbertError(ErrorKind.DATA, path, expected=_KINDS, got="JSON nested too deeply") from None
    except json.JSONDecodeError as error:
        raise AlbertError(
            ErrorKind.DATA, f"{path}:{error.lineno}: not JSON", expected="one JSON document", got=error.msg
        ) from None
    try:
        rows = list(_rows(value))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise AlbertError(ErrorKind.DATA, path, expected=_KINDS, got=f"something else ({error})") from None
    if not rows:
        raise AlbertError(ErrorKind.DATA, path, expected="rows of data", got="none")
    return rows


def _content(path: str) -> bytes:
    """The whole content of a file. Raises `AlbertError` (bad-data) as soon as it is too large, also for a small .gz."""
    held = bytearray()
    for part in raw_lines(path, limit=MAX_LINE_BYTES):
        held += part
        if len(held) > MAX_DOCUMENT_BYTES:
            raise AlbertError(
                ErrorKind.DATA,
                path,
                expected=f"a JSON document of at most {MAX_DOCUMENT_BYTES:,} bytes, since it is read as a whole",
                got="more",
                hint="write it as JSON lines, one object a line, or divide it",
            )
    return bytes(held)


def _rows(value: Any) -> Iterator[Values]:
    match value:
        case {"data": [dict(), *_] as articles} if any("paragraphs" in article for article in articles):
            yield from _squad(articles)
        case {"article": str(), "questions": list()}:
            yield from _race(value)
        case [[list(), list(), str()], *_]:
            yield from itertools.chain.from_iterable(map(_dream, value))
        case [dict(), *_]:
            yield from map(_object, value)
        case {"data": [dict(), *_] as rows}:
            yield from map(_object, rows)
        case dict() if _is_row(value):
            yield value
        case _:
            raise ValueError(type(value).__name__)


def _is_row(value: Values) -> bool:
    """Whether an object is a row: it holds a string, and nested objects only as a label."""
    nested = [
        name
        for name, item in value.items()
        if isinstance(item, dict) or (isinstance(item, list) and any(isinstance(part, (dict, list)) for part in item))
    ]
    labels = all(name.lower() in LABEL_NAMES for name in nested)
    return labels and any(isinstance(item, str) for item in value.values())


def _object(item: Any) -> Values:
    if not isinstance(item, dict):
        raise TypeError(f"an item {str(item)[:40]!r}")
    return item


def _squad(articles: list[Values]) -> Iterator[Values]:
    """SQuAD's nested data as flat rows. Unanswerable questions have no answers; questions of a hidden test have None.

    A question without an id gets its number in the file.
    """
    number = 0
    for place, article in enumerate(articles):
        for paragraph in _part(article, "paragraphs", f"data[{place}]"):
            for question in _part(paragraph, "qas", f"a paragraph of data[{place}]"):
                number += 1
                yield {
                    "id": str(question.get("id", number)),
                    "title": article.get("title", ""),
                    "context": _part(paragraph, "context", f"a paragraph of data[{place}]"),
                    "question": _part(question, "question", f"question {number}"),
                    "answers": [] if _is_true(question.get("is_impossible")) else question.get("answers"),
                }


def _part(value: Values, name: str, where: str) -> Any:
    """A part that must exist. Raises `ValueError` with the place where it is missing."""
    if name not in value:
        raise ValueError(f"{where} has no {name!r}")
    return value[name]


def _is_true(value: Any) -> bool:
    """A flag as JSON has it, or as text from programs that write everything as text."""
    return value.strip().lower() in ("true", "1", "yes") if isinstance(value, str) else bool(value)


def _race(article: Values) -> Iterator[Values]:
    questions, options = article["questions"], _part(article, "options", "the article")
    answers = article.get("answers") or [None] * len(questions)
    if not len(questions) == len(options) == len(answers):
        counts = f"{len(questions)}, {len(options)} and {len(answers)}"
        raise ValueError(f"questions, options and answers of different number: {counts}")
    for number, (question, choices, answer) in enumerate(zip(questions, options, answers, strict=True)):
        yield {
            "id": f"{article.get('id', '')}-{number}",
            "article": article["article"],
            "question": question,
            "options": choices,
            "answer": answer,
        }


def _dream(item: list[Any]) -> Iterator[Values]:
    turns, questions, name = item
    for number, question in enumerate(questions):
        yield {
            "id": f"{name}-{number}",
            "article": "\n".join(turns),
            "question": question["question"],
            "options": question["choice"],
            "answer": question.get("answer"),
        }
