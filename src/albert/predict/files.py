"""Predictions from file to file: every row of a table, streamed, in constant memory, resumable."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Unpack

import numpy as np
import torch

from albert.compute.library import look
from albert.data.reading import DataSource, RowOptions, TextOptions
from albert.data.sources import suffix_of
from albert.data.tables import Row, Table
from albert.errors import AlbertError, ErrorKind
from albert.predict.moderation import SAFE_LABELS
from albert.predict.npy import FORM as NPY
from albert.predict.npy import VectorRecords, form_of
from albert.predict.predictor import Predictor
from albert.predict.pretrained import PretrainedModel
from albert.predict.rank import ranked
from albert.predict.rows import RowReader, in_words
from albert.predict.work import Embedding, Fitting, Moderating, Predicting, Work
from albert.storage.files import disk_errors, require_output, stream, write_json
from albert.storage.locks import is_plain, open_plain, output_lock
from albert.storage.pipes import target_of
from albert.storage.records import Form, Record, Records
from albert.storage.stored import read_object, typed
from albert.tasks import DecodeOptions
from albert.version import __version__

CHUNK = 4096  # the number of rows between two saved positions


@dataclass(frozen=True)
class Scored:
    """The number of rows written, of rows from an earlier call, and of texts cut.

    `remarks` are the assumptions about the input, and other observations on input and output.
    """

    rows: int
    resumed: int
    cut: int
    remarks: tuple[str, ...] = ()


def score_file(
    predictor: Predictor,
    data: str | Path | DataSource,
    out: str,
    *,
    options: DecodeOptions | None = None,
    output_format: str | None = None,
    **reading: Unpack[TextOptions],
) -> Scored:
    """Writes every row of `data` with its prediction to `out` ("-": standard input and output).

    The name of `out` decides the format, or else `output_format`. All input columns stay. "prediction" and "score" are
    added; if `top_k` is not 1, "predictions" with all of them; if a text may have none or several, the task's own name
    for them.

    An interrupted call goes on where it stopped. Until the end the rows are in `out`.part, beside a note of the
    position. A pipe or device is written as a stream.

    Raises `AlbertError`: usage or disk for an `out` that cannot be written, before any row is computed; locked if
    another call writes it; bad-data at the first bad row. Raises `ReaderGoneError` if the stream's reader has left.
    """
    source = DataSource.of(data, **reading)
    work = Predicting(predictor.fitted(source), options or DecodeOptions())
    return write_rows(work, source, out, output_format=output_format)


def embed_file(
    model: Predictor | PretrainedModel,
    data: str | Path | DataSource,
    out: str,
    *,
    normalize: bool = True,
    dimensions: int | None = None,
    output_format: str | None = None,
    **reading: Unpack[RowOptions],
) -> Scored:
    """`score_file` with the vector of every row's text in the column "embedding".

    An `out` that ends in .npy holds the vectors alone, [rows, size] in float32.
    """
    source = DataSource.of(data, **reading)
    arrays = form_of(out, output_format) == NPY
    work = Embedding(model.fitted(source), normalize=normalize, dimensions=dimensions, arrays=arrays)
    return write_rows(work, source, out, output_format=output_format)


def moderate_file(
    predictor: Predictor,
    data: str | Path | DataSource,
    out: str,
    *,
    safe_labels: Sequence[str] = SAFE_LABELS,
    output_format: str | None = None,
    **reading: Unpack[RowOptions],
) -> Scored:
    """`score_file` with the columns "flagged", "categories" and "category_scores", as `Predictor.moderate` gives."""
    source = DataSource.of(data, **reading)
    work = Moderating(predictor.fitted(source), safe_labels)
    return write_rows(work, source, out, output_format=output_format)


def rerank_file(
    predictor: Predictor,
    query: str,
    data: str | Path | DataSource,
    *,
    raw_scores: bool = False,
    **reading: Unpack[RowOptions],
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The texts of a file as `Predictor.rerank` ranks them, computed as they are read, and remarks on the file."""
    source = DataSource.of(data, **reading)
    work = Fitting(predictor.fitted(source), query, raw_scores=raw_scores)
    reader = RowReader(source, work)
    texts: list[str] = []
    scores: list[float] = []
    rows = reader.rows()
    while chunk := list(itertools.islice(rows, CHUNK)):
        examples = [reader.example(row) for row in chunk]
        texts += [example.text for example in examples]
        scores += [score for (score,) in work.values(examples)]
    return ranked(np.asarray(scores), texts), (*reader.remarks(), *in_words(reader.counts()))


def write_rows(work: Work, source: DataSource, out: str, *, output_format: str | None = None) -> Scored:
    """What `score_file` says, for any work."""
    require_output(out, inputs=(source.path,))
    target = None if out == "-" else target_of(out)
    form = form_of(out, output_format) if isinstance(work, Embedding) else Form.of(out, output_format)
    scorer = _Scorer(work, source, form)
    cut_before = work.cut
    if target is None:
        with stream(out) as file:
            rows, resumed = _to_stream(scorer, file), 0
    else:
        with disk_errors(target), output_lock(target):
            rows, resumed = _to_file(scorer, target, scorer.job())
    if target is not None and not (output_format or suffix_of(target)):
        scorer.remarks.append(f"{out}: JSON lines, since its name has no ending; --output-format chooses another")
    return Scored(rows, resumed, work.cut - cut_before, scorer.told())


class _Scorer:
    """Turns rows into portions of the output. `remarks` are the observations."""

    def __init__(self, work: Work, source: DataSource, form: Form) -> None:
        self.work = work
        self.added = work.added
        self.reader = RowReader(source, work)
        self.table = self.reader.table
        self.remarks: list[str] = []
        self.records: Records | VectorRecords
        if isinstance(work, Embedding) and form == NPY:
            self.records = VectorRecords(work.size)
            return
        self._require_free(self.table.path, self.table.columns)
        names = self._read_through(form) if form.is_table else self.table.columns
        self.records = Records(form, (*names, *self.added))

    def portions(self, *, skip: int) -> Iterator[tuple[int, bytes]]:
        """(rows, their bytes) for each portion after the first `skip` rows, and last (0, what ends the file)."""
        rows = itertools.islice(self.reader.rows(), skip, None)
        first = skip == 0
        while chunk := list(itertools.islice(rows, CHUNK)):
            yield len(chunk), self._portion(chunk, first=first)
            first = False
        yield 0, self.records.end()

    def job(self) -> dict[str, Any]:
        """What tells whether an interrupted call did the same work: all that changes a row."""
        source: dict[str, Any] = {"pid": os.getpid()}  # a stream is never the same
        if self.reader.rereadable:
            status = Path(self.table.path).stat()
            path = str(Path(self.table.path).resolve())
            source = {"path": path, "size": status.st_size, "modified": status.st_mtime_ns}
        job = {
            "albert": __version__,
            "input": source,
            **{f"input {name}": value for name, value in asdict(self.table.source).items() if name != "path"},
            **{f"output {name}": value for name, value in asdict(self.records.form).items()},
            "columns": self.records.columns,
            **self.work.identity(),
        }
        return dict(json.loads(json.dumps(job)))  # as a later call will read it

    def told(self) -> tuple[str, ...]:
        """The remarks, with what was counted."""
        counts = (
            (self.records.blank, "rows that lack a column, whose cells are empty"),
            *self.reader.counts(),
            (self.records.nulls, "numbers that JSON lacks (NaN, infinity), written as null"),
        )
        return (*self.reader.remarks(), *self.remarks, *in_words(counts), *self.work.remarks())

    def _read_through(self, form: Form) -> Iterable[str]:
        """The columns of all rows. Raises `AlbertError` (bad-data) where one cannot be written, before any is computed.

        A stream can be read only once: its first lines decide, and a later row with another column is refused.
        """
        held = form.format == "csv" and self.table.layout.format not in ("jsonl", "json", "parquet")
        if held or not self.reader.rereadable:
            return self.table.columns
        names = dict.fromkeys(self.table.columns)
        for row in Table(self.table.source, wanted=self.work.wanted):
            self._require_free(self.reader.place(row), row.values)
            Records(form, tuple(row.values)).table_row(self.reader.place(row), row.values)
            names.update(dict.fromkeys(row.values))
        return names

    def _portion(self, rows: list[Row], *, first: bool) -> bytes:
        values = self.work.values([self.reader.example(row) for row in rows])
        records = [(self.reader.place(row), self._record(row, added)) for row, added in zip(rows, values, strict=True)]
        return self.records.portion(records, first=first)

    def _record(self, row: Row, added: tuple[Any, ...]) -> Record:
        if isinstance(self.records, Records):
            self._require_free(self.reader.place(row), row.values)
        return {**row.values, **dict(zip(self.added, added, strict=True))}

    def _require_free(self, place: str, names: Iterable[str]) -> None:
        if taken := [name for name in names if name in self.added]:
            raise AlbertError(
                ErrorKind.DATA,
                f"{place}: column {taken[0]!r}",
                expected="no column of that name, since predictions go there",
                hint="rename the column",
            )


def _to_stream(scorer: _Scorer, file: IO[bytes]) -> int:
    """Writes the rows portion by portion, and returns their number."""
    rows = 0
    for count, data in scorer.portions(skip=0):
        file.write(data)
        file.flush()
        rows += count
    return rows


def _machine() -> dict[str, Any]:
    """What can change the last digits of a score and nothing else: rows of two such calls may be in one file."""
    return {
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "compiled kernels": look().path is not None,
    }


def _to_file(scorer: _Scorer, out: Path, job: dict[str, Any]) -> tuple[int, int]:
    """(rows in the file, rows that an earlier call had written)."""
    part, note, machine = out.with_name(out.name + ".part"), out.with_name(out.name + ".part.json"), _machine()
    done, size, remark = _position(part, note, job, machine)
    scorer.remarks.extend(remark)
    rows = done
    try:
        with open(open_plain(part), "r+b") as file:
            file.truncate(size)
            file.seek(size)
            for count, data in scorer.portions(skip=done):
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                rows += count
                if count:
                    write_json(note, {**job, "machine": machine, "rows": rows, "bytes": file.tell()})
            if head := scorer.records.head(rows):
                file.seek(0)
                file.write(head)
                file.flush()
                os.fsync(file.fileno())
        part.replace(out)
    except BaseException as error:
        if not scorer.reader.rereadable or (isinstance(error, AlbertError) and error.kind is ErrorKind.DATA):
            part.unlink(missing_ok=True)  # a call that could go on from here will not come
            note.unlink(missing_ok=True)
        raise
    note.unlink(missing_ok=True)
    return rows, done


@dataclass(frozen=True)
class _Done:
    rows: int
    bytes: int
    machine: dict[str, Any] = field(default_factory=dict)


def _position(part: Path, note: Path, job: dict[str, Any], machine: dict[str, Any]) -> tuple[int, int, list[str]]:
    """(rows, bytes) that an interrupted call of the same job has written safely, and a remark if it was another job.

    A call on another machine goes on, and a remark says so.
    """
    try:
        if not (is_plain(note) and is_plain(part)):
            return 0, 0, []
        stored = read_object(note)
        own = {name: stored.pop(name) for name in ("rows", "bytes", "machine") if name in stored}
        done = typed(_Done, own, str(note))
        rows, size = done.rows, done.bytes
        if part.stat().st_size < size:
            return 0, 0, []
    except (OSError, AlbertError):
        return 0, 0, []
    if other := [name for name in {**job, **stored} if stored.get(name) != job.get(name)]:
        what = ", ".join(other)
        return 0, 0, [f"{rows:,} rows of an earlier call with another {what} were not used: all are computed again"]
    then = done.machine
    if other := [name for name in {**machine, **then} if then.get(name) != machine.get(name)]:
        told = ", ".join(
            f"{name:.40} {then.get(name, 'unknown')!s:.40} then, {machine.get(name)} now" for name in other
        )
        return rows, size, [f"{rows:,} rows are of an earlier call, whose scores can differ in the last digits: {told}"]
    return rows, size, []
