"""Rows of a file, lines of text, CSV, TSV or JSON lines, and the columns that a model reads."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from albert_lite.library import LiteError
from albert_lite.model import Model

FORMATS = ("lines", "csv", "tsv", "jsonl")
_ENDINGS = {"csv": "csv", "tsv": "tsv", "jsonl": "jsonl", "ndjson": "jsonl"}
_LONGEST = 1 << 26  # characters of a cell


@dataclass(frozen=True)
class Row:
    """The values of a row by column, and its place, "file:line"."""

    values: dict[str, Any]
    place: str


def rows_of(file: IO[str], name: str, format: str | None) -> Iterator[Row]:
    """The rows of a file, in the format that its name's ending or `format` says.

    Raises `LiteError` (bad-data) for a row that cannot be read.
    """
    kind = format or _ENDINGS.get(name.rpartition(".")[2].lower(), "lines")
    read = {"lines": _of_lines, "csv": _of_table, "tsv": _of_table, "jsonl": _of_objects}[kind]
    try:
        for number, values in read(file, kind):
            yield Row(values, f"{name}:{number}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise LiteError(f"error[bad-data] {name}: expected {kind} in UTF-8, got {str(error)[:100]}", 65) from None


def _of_lines(file: IO[str], kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(file, 1):
        if text := line.rstrip("\r\n"):
            yield number, {"text": text}


def _of_objects(file: IO[str], kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            values = str(error)
        if not isinstance(values, dict):
            raise LiteError(f"error[bad-data] line {number}: expected a JSON object, got {str(values)[:60]}", 65)
        yield number, values


def _of_table(file: IO[str], kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(_LONGEST)
    reader = (
        csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if kind == "tsv" else csv.reader(file, strict=True)
    )
    header = next(reader, [])
    for cells in reader:
        if len(cells) != len(header) and cells:
            got = f"expected {len(header)} cells as in the header, got {len(cells)}"
            raise LiteError(f"error[bad-data] line {reader.line_num}: {got}", 65)
        if cells:
            yield reader.line_num, dict(zip(header, cells, strict=True))


@dataclass(frozen=True)
class Columns:
    """The columns of texts, second texts and choices: one column of lists, or one for each choice."""

    text: str | None
    text_pair: str | None = None
    choices: tuple[str, ...] = ()

    def or_of(self, model: Model, row: Row) -> Columns:
        """These columns, or those of the model's training, or usual ones. Raises `LiteError` (bad-data)."""
        chosen = self if self.text else columns_of(model, row)
        wanted = [name for name in (chosen.text, chosen.text_pair, *chosen.choices) if name is not None]
        if missing := [name for name in wanted if name not in row.values]:
            got = ", ".join(map(str, row.values))
            hint = "name it with --text COLUMN"
            raise LiteError(
                f"error[bad-data] {row.place}: expected a column {missing[0]!r}, got {got}. hint: {hint}", 65
            )
        return chosen

    def input(self, row: Row) -> dict[str, Any]:
        """What the model is asked of a row. Raises `LiteError` (bad-data) for a cell that is no text."""
        made: dict[str, Any] = {"text": _text(row, self.text or "")}
        if self.text_pair is not None:
            made["text_pair"] = _text(row, self.text_pair)
        if self.choices:
            made["choices"] = [choice for name in self.choices for choice in _choices(row, name)]
        return made


def columns_of(model: Model, row: Row) -> Columns:
    """The columns of the model's training; else the usual ones of its task, or the only one."""
    about = model.about
    trained = Columns(about["text"] or None, about["text_pair"] or None, tuple(about["choices"]))
    if trained.text in row.values:
        return trained
    if len(row.values) == 1 and trained.text_pair is None and model.task not in ("qa", "choice"):
        return Columns(next(iter(row.values)))
    if model.task == "qa":
        return trained if trained.text else Columns("question", "context")
    usual = Columns("text", "text_pair" if "text_pair" in row.values else None)
    return trained if trained.text else usual if model.task != "choice" else Columns("text", None, ("choices",))


def _text(row: Row, name: str) -> str:
    value = row.values.get(name)
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise LiteError(f"error[bad-data] {row.place}: expected a text in column {name!r}, got {str(value)[:60]}", 65)


def _choices(row: Row, name: str) -> list[str]:
    value = row.values.get(name)
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return [str(value)]
    if isinstance(value, list) and all(isinstance(choice, str) for choice in value):
        return value
    return [_text(row, name)]
