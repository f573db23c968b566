"""File to file: predictions for every row of a table, streamed, in constant memory, resumable."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from albert.data.examples import Columns, Example, example_of
from albert.data.tables import Row, Table
from albert.errors import AlbertError, ErrorKind
from albert.files import disk_errors, write_json
from albert.predictor import Predictor
from albert.tasks import DecodeOptions

CHUNK = 4096  # rows between two saved positions
_FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}


@dataclass(frozen=True)
class Scored:
    """How many rows were written, how many of them an earlier call had done, how many texts were cut.

    `remarks` tell what was assumed of the file, and what was odd in it.
    """

    rows: int
    resumed: int
    cut: int
    remarks: tuple[str, ...] = ()


def score_file(
    predictor: Predictor,
    source: str,
    out: str,
    *,
    options: DecodeOptions | None = None,
    format: str | None = None,
    output_format: str | None = None,
    encoding: str = "utf-8",
    header: bool | None = None,
    word_column: int | None = None,
    tag_column: int | None = None,
    keep_na: bool = False,
) -> Scored:
    """Writes every row of `source` with its prediction to `out` ("-": standard input and output).

    All input columns stay; "prediction" and "score" are added ("predictions", all of them, if `top_k` is not
    1; what the task calls them where a text may have none or many). An interrupted call goes on where it
    stopped: until the end the rows lie in `out`.part, beside a note of how far they go. Raises `AlbertError`
    (bad-data) at the first bad row.
    """
    table = Table(
        source, format=format, encoding=encoding, header=header, word_column=word_column, tag_column=tag_column,
        keep_na=keep_na, wanted=(*predictor.columns.texts(), *predictor.columns.choices),
    )  # fmt: skip
    kind = output_format or _FORMATS.get(Path(out).suffix, "jsonl")
    scorer = _Scorer(predictor, table, predictor.columns_of(table), kind, options or DecodeOptions())
    cut_before = predictor.cut
    if out == "-":
        rows = resumed = 0
        for count, text in scorer.chunks(skip=0):
            sys.stdout.write(text)
            sys.stdout.flush()
            rows += count
    else:
        with disk_errors(Path(out)):
            rows, resumed = _to_file(scorer, Path(out))
    return Scored(rows, resumed, predictor.cut - cut_before, (*table.remarks, *table.repairs, *scorer.remarks(rows)))


class _Scorer:
    """Rows in, lines of the output format out."""

    def __init__(self, predictor: Predictor, table: Table, columns: Columns, kind: str, options: DecodeOptions) -> None:
        if kind not in ("jsonl", "csv", "tsv"):
            raise AlbertError(ErrorKind.USAGE, f"output format {kind!r}", expected="jsonl, csv or tsv")
        self.predictor = predictor
        self.table = table
        self.columns = columns
        self.kind = kind
        self.options = options
        self.empty = 0  # rows without a text
        self.single = options.top_k == 1 and not predictor.task.plural
        self.added = ("prediction", "score") if self.single else (predictor.task.plural or "predictions",)
        if taken := [name for name in self.added if name in table.columns]:
            raise AlbertError(
                ErrorKind.DATA,
                f"{table.path}: column {taken[0]!r}",
                expected="no column of that name, since predictions go there",
                hint="rename the column",
            )

    def chunks(self, *, skip: int) -> Iterator[tuple[int, str]]:
        """(rows, their text) for each portion after the first `skip` rows; a header before the very first."""
        rows = itertools.islice(iter(self.table), skip, None)
        header = skip == 0
        while chunk := list(itertools.islice(rows, CHUNK)):
            yield len(chunk), self._render(chunk, header=header)
            header = False

    def remarks(self, rows: int) -> Iterator[str]:
        """What was odd in the file, of which so many rows were predicted."""
        if not rows:
            yield f"{self.table.path}: no rows of data" + (", a header alone" if self.table.layout.has_header else "")
        if self.empty:
            yield f"{self.table.path}: {self.empty:,} rows have no text; their predictions mean nothing"

    def job(self) -> dict[str, Any]:
        """What tells whether an interrupted call did the same work; standard input is never the same."""
        source: dict[str, Any] = {"pid": os.getpid()}
        if self.table.path != "-":
            status = Path(self.table.path).stat()
            path = str(Path(self.table.path).resolve())
            source = {"path": path, "size": status.st_size, "modified": status.st_mtime_ns}
        source["reading"] = self.table.reading.reading()
        job = {"input": source, "model": self.predictor.fingerprint, "format": self.kind, **asdict(self.options)}
        return dict(json.loads(json.dumps(job)))  # as it will be read again

    def _render(self, rows: list[Row], *, header: bool) -> str:
        predictions = self.predictor.predict([self._example(row) for row in rows], self.options)
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t" if self.kind == "tsv" else ",", lineterminator="\n")
        for index, (row, best) in enumerate(zip(rows, predictions, strict=True)):
            values = (best[0][self.predictor.task.answer], best[0]["score"]) if self.single else (best,)
            record = {**row.values, **dict(zip(self.added, values, strict=True))}
            if self.kind == "jsonl":
                text.write(json.dumps(record, ensure_ascii=False) + "\n")
                continue
            if header and index == 0:
                writer.writerow(record)
            writer.writerow(_cell(value) for value in record.values())
        return text.getvalue()

    def _example(self, row: Row) -> Example:
        try:
            example = example_of(row, self.columns)
        except ValueError as error:
            raise AlbertError(ErrorKind.DATA, f"{self.table.path}:{row.number}: {error}") from None
        self.empty += not any(text.strip() for text in (example.text, example.text_pair or ""))
        return example


def _to_file(scorer: _Scorer, out: Path) -> tuple[int, int]:
    """(rows in the file, rows that an earlier call had written)."""
    part, note = out.with_name(out.name + ".part"), out.with_name(out.name + ".part.json")
    job = scorer.job()
    done, size = _position(part, note, job)
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = done
    with part.open("r+b" if done else "wb") as file:
        file.truncate(size)
        file.seek(size)
        for count, text in scorer.chunks(skip=done):
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
            rows += count
            write_json(note, {**job, "rows": rows, "bytes": file.tell()})
    part.replace(out)
    note.unlink(missing_ok=True)
    return rows, done


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


def _cell(value: Any) -> Any:
    """A value as a cell: JSON for what a table cannot hold."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value
