"""File to file: predictions for every row of a table, streamed, in constant memory, resumable."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from albert.data.examples import Columns, Example, text_of
from albert.data.tables import Row, Table
from albert.errors import AlbertError, ErrorKind
from albert.files import disk_errors, write_json
from albert.predictor import Predictor

CHUNK = 1024  # rows between two saved positions
_FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}
PREDICTION, SCORE, ALL = "prediction", "score", "predictions"


@dataclass(frozen=True)
class Scored:
    """How many rows were written, and how many of them an earlier, interrupted call had done."""

    rows: int
    resumed: int


def score_file(
    predictor: Predictor,
    source: str,
    out: str,
    *,
    top_k: int | None = 1,
    format: str | None = None,
    output_format: str | None = None,
    encoding: str = "utf-8",
) -> Scored:
    """Writes every row of `source` with its prediction to `out` ("-": standard input and output).

    All input columns stay; "prediction" and "score" are added (JSONL with `top_k` other than 1: all of them
    as "predictions"). An interrupted call goes on where it stopped: until the end the rows lie in
    `out`.part, beside a note of how far they go. Raises `AlbertError` (bad-data) at the first bad row.
    """
    table = Table(source, format=format, encoding=encoding)
    columns = predictor.columns_of(table)
    kind = output_format or _FORMATS.get(Path(out).suffix, "jsonl")
    added = _added_columns(table, kind, top_k)
    if out == "-":
        rows = 0
        for chunk in _chunks(table, 0):
            sys.stdout.write(_render(predictor, columns, chunk, kind, added, top_k, first=rows == 0))
            sys.stdout.flush()
            rows += len(chunk)
        return Scored(rows, 0)
    with disk_errors(Path(out)):
        return _to_file(predictor, table, columns, Path(out), kind, added, top_k)


def _to_file(
    predictor: Predictor,
    table: Table,
    columns: Columns,
    out: Path,
    kind: str,
    added: tuple[str, ...],
    top_k: int | None,
) -> Scored:
    part, note = out.with_name(out.name + ".part"), out.with_name(out.name + ".part.json")
    job = {"input": _identity(table.path), "model": predictor.fingerprint, "format": kind, "top_k": top_k}
    done, size = _position(part, note, job)
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = done
    with part.open("r+b" if done else "wb") as file:
        file.truncate(size)
        file.seek(size)
        for chunk in _chunks(table, done):
            file.write(_render(predictor, columns, chunk, kind, added, top_k, first=rows == 0).encode())
            file.flush()
            os.fsync(file.fileno())
            rows += len(chunk)
            write_json(note, {**job, "rows": rows, "bytes": file.tell()})
    part.replace(out)
    note.unlink(missing_ok=True)
    return Scored(rows, done)


def _identity(path: str) -> dict[str, Any]:
    """What tells whether an input is the same as before; standard input never is."""
    if path == "-":
        return {"pid": os.getpid()}
    status = Path(path).stat()
    return {"path": str(Path(path).resolve()), "size": status.st_size, "modified": status.st_mtime_ns}


def _position(part: Path, note: Path, job: dict[str, Any]) -> tuple[int, int]:
    """(rows, bytes) that an interrupted call of the same job has safely written."""
    try:
        stored = json.loads(note.read_text(encoding="utf-8"))
        same = all(stored[name] == value for name, value in job.items())
        if same and part.stat().st_size >= stored["bytes"]:
            return int(stored["rows"]), int(stored["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0, 0


def _chunks(table: Table, skip: int) -> Iterator[list[Row]]:
    rows = itertools.islice(iter(table), skip, None)
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield chunk


def _added_columns(table: Table, kind: str, top_k: int | None) -> tuple[str, ...]:
    if kind not in ("jsonl", "csv", "tsv"):
        raise AlbertError(ErrorKind.USAGE, f"output format {kind!r}", expected="jsonl, csv or tsv")
    added = (PREDICTION, SCORE) if top_k == 1 else (ALL,)
    if taken := [name for name in added if name in table.columns]:
        raise AlbertError(
            ErrorKind.DATA,
            f"{table.path}: column {taken[0]!r}",
            expected="no column of that name, since predictions go there",
            hint="rename the column",
        )
    return added


def _render(
    predictor: Predictor,
    columns: Columns,
    rows: list[Row],
    kind: str,
    added: tuple[str, ...],
    top_k: int | None,
    *,
    first: bool,
) -> str:
    """The rows with their predictions as text of the output format; a header before the first ones."""
    examples = []
    for row in rows:
        try:
            examples.append(Example(*(text_of(row, name) for name in columns.texts())))
        except ValueError as error:
            raise AlbertError(ErrorKind.DATA, f"line {row.number}: {error}") from None
    text = io.StringIO()
    writer = None if kind == "jsonl" else _writer(text, kind)
    for index, (row, best) in enumerate(zip(rows, predictor.predict(examples, top_k=top_k), strict=True)):
        values = (best[0]["label"], best[0]["score"]) if top_k == 1 else (best,)
        record = {**row.values, **dict(zip(added, values, strict=True))}
        if writer is None:
            text.write(json.dumps(record, ensure_ascii=False) + "\n")
            continue
        if first and index == 0:
            writer.writerow(record)
        writer.writerow(
            json.dumps(v, ensure_ascii=False) if isinstance(v, (list, dict)) else v for v in record.values()
        )
    return text.getvalue()


def _writer(text: IO[str], kind: str) -> Any:
    return csv.writer(text, delimiter="\t" if kind == "tsv" else ",", lineterminator="\n")
