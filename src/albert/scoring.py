"""File to file: predictions for every row of a table, streamed, in constant memory, resumable."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from albert import __version__
from albert.data.examples import Example, example_of
from albert.data.reading import Reading
from albert.data.sources import suffix_of
from albert.data.tables import Row, Table
from albert.engine.library import library
from albert.errors import AlbertError, ErrorKind
from albert.files import disk_errors, require_output, stream, write_json
from albert.locks import is_plain, open_plain, output_lock
from albert.pipes import target_of
from albert.predictor import Predictor
from albert.records import Form, Record, Records
from albert.stored import read_object, typed
from albert.tasks import DecodeOptions, Prediction
from albert.text.hardening import SURROGATE, invalid_unicode

CHUNK = 4096  # rows between two saved positions


@dataclass(frozen=True)
class Scored:
    """How many rows were written, how many of them an earlier call had done, how many texts were cut.

    `remarks` tell what was assumed of the input, and what else is to be known of it and of the output.
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

    The name of `out` says how it is written, `output_format` where it does not. All input columns stay; "prediction"
    and "score" are added ("predictions", all of them, if `top_k` is not 1; what the task calls them where a text may
    have none or many). An interrupted call goes on where it stopped: until the end the rows lie in `out`.part, beside
    a note of how far they go. A pipe or device is written as a stream. Raises `AlbertError`: usage or disk for an
    `out` that cannot be written, before any row is computed; locked where another call writes it; bad-data at the
    first bad row. `ReaderGoneError` where nobody reads the stream any more.
    """
    require_output(out, inputs=(source,))
    target = None if out == "-" else target_of(out)
    form = Form.of(out, output_format)
    reading = Reading(
        format=format, encoding=encoding, header=header, word_column=word_column, tag_column=tag_column, keep_na=keep_na
    ).reading()
    wanted = (*predictor.columns.texts(), *predictor.columns.choices)
    scorer = _Scorer(predictor, lambda: Table(source, **reading, wanted=wanted), form, options or DecodeOptions())
    cut_before = predictor.cut
    if target is None:
        with stream(out) as file:
            rows, resumed = _to_stream(scorer, file), 0
    else:
        with disk_errors(target), output_lock(target):
            rows, resumed = _to_file(scorer, target, scorer.job(reading), _machine(predictor))
    if target is not None and not (output_format or suffix_of(target)):
        scorer.remarks.append(f"{out}: JSON lines, since its name has no ending; --output-format chooses another")
    return Scored(rows, resumed, predictor.cut - cut_before, scorer.told())


class _Scorer:
    """Rows in, portions of the output out; `remarks` tell what is to be known of it."""

    def __init__(self, predictor: Predictor, read: Callable[[], Table], form: Form, options: DecodeOptions) -> None:
        self.predictor = predictor
        self.options = options
        self.table = read()
        self.columns = predictor.columns_of(self.table)
        self.empty = 0  # rows without a text
        self.single = options.top_k == 1 and not predictor.task.plural
        self.added = ("prediction", "score") if self.single else (predictor.task.plural or "predictions",)
        self.remarks: list[str] = []
        self._require_free(self.table.path, self.table.columns)
        names = self._read_through(read, form) if form.is_table else self.table.columns
        self.records = Records(form, (*names, *self.added))

    @property
    def rereadable(self) -> bool:
        """Whether the input can be read again, now or by a later call."""
        return Path(self.table.path).is_file()

    def portions(self, *, skip: int) -> Iterator[tuple[int, bytes]]:
        """(rows, their bytes) for each portion after the first `skip` rows, and last (0, what ends the file)."""
        rows = itertools.islice(self._rows(), skip, None)
        first = skip == 0
        while chunk := list(itertools.islice(rows, CHUNK)):
            yield len(chunk), self._portion(chunk, first=first)
            first = False
        yield 0, self.records.end()

    def job(self, reading: dict[str, Any]) -> dict[str, Any]:
        """What tells whether an interrupted call did the same work: all that changes a row."""
        source: dict[str, Any] = {"pid": os.getpid()}  # a stream is never the same
        if self.rereadable:
            status = Path(self.table.path).stat()
            path = str(Path(self.table.path).resolve())
            source = {"path": path, "size": status.st_size, "modified": status.st_mtime_ns}
        job = {
            "albert": __version__,
            "input": source,
            **{f"input {name}": value for name, value in reading.items()},
            **{f"output {name}": value for name, value in asdict(self.records.form).items()},
            "columns": self.records.columns,
            **self.predictor.identity(),
            **asdict(self.options),
        }
        return dict(json.loads(json.dumps(job)))  # as it will be read again

    def told(self) -> tuple[str, ...]:
        """The remarks, with what was counted."""
        counted = (
            (self.records.blank, "rows that lack a column, whose cells are empty"),
            (self.empty, "rows without a text, whose predictions mean nothing"),
            (self.records.nulls, "numbers that JSON lacks (NaN, infinity), written as null"),
        )
        told = (*self.table.remarks, *self.table.repairs, *self.remarks)
        return (*told, *(f"{what}: {count:,}" for count, what in counted if count))

    def _rows(self) -> Iterator[Row]:
        rows = iter(self.table)
        first = next(rows, None)
        if first is None:
            raise AlbertError(ErrorKind.DATA, self.table.path, expected="rows of data", got="a header alone")
        return itertools.chain([first], rows)

    def _read_through(self, read: Callable[[], Table], form: Form) -> Iterable[str]:
        """The columns of all rows. Raises `AlbertError` (bad-data) where one cannot be written, before any is computed.

        A stream can be read only once: its first lines tell, and what comes later is refused where it differs.
        """
        held = form.format == "csv" and self.table.layout.format not in ("jsonl", "json", "parquet")
        if held or not self.rereadable:
            return self.table.columns
        names = dict.fromkeys(self.table.columns)
        for row in read():
            self._require_free(self._place(row), row.values)
            Records(form, tuple(row.values)).table_row(self._place(row), row.values)
            names.update(dict.fromkeys(row.values))
        return names

    def _portion(self, rows: list[Row], *, first: bool) -> bytes:
        predictions = self.predictor.predict([self._example(row) for row in rows], self.options)
        records = [(self._place(row), self._record(row, best)) for row, best in zip(rows, predictions, strict=True)]
        return self.records.portion(records, first=first)

    def _record(self, row: Row, best: list[Prediction]) -> Record:
        self._require_free(self._place(row), row.values)
        values = (_answer(best[0], self.predictor.task.answer), best[0]["score"]) if self.single else (best,)
        return {**row.values, **dict(zip(self.added, values, strict=True))}

    def _example(self, row: Row) -> Example:
        try:
            example = example_of(row, self.columns)
        except ValueError as error:
            raise AlbertError(ErrorKind.DATA, f"{self._place(row)}: {error}") from None
        self.empty += not any(text.strip() for text in (example.text, example.text_pair or ""))
        for text in filter(SURROGATE.search, (example.text, example.text_pair or "", *example.choices)):
            fault = invalid_unicode(text)
            raise AlbertError(fault.kind, f"{self._place(row)}: {fault.what}", expected=fault.expected, got=fault.got)
        return example

    def _place(self, row: Row) -> str:
        return f"{self.table.path}:{row.number}"

    def _require_free(self, place: str, names: Iterable[str]) -> None:
        if taken := [name for name in names if name in self.added]:
            raise AlbertError(
                ErrorKind.DATA,
                f"{place}: column {taken[0]!r}",
                expected="no column of that name, since predictions go there",
                hint="rename the column",
            )


def _to_stream(scorer: _Scorer, file: IO[bytes]) -> int:
    """The rows written, portion by portion."""
    rows = 0
    for count, data in scorer.portions(skip=0):
        file.write(data)
        file.flush()
        rows += count
    return rows


def _machine(predictor: Predictor) -> dict[str, Any]:
    """What can change the last digits of a score and nothing else: so rows of two such calls may stand in one file."""
    return {
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "compiled kernels": predictor.engine.device.type == "cpu" and library().path is not None,
    }


def _to_file(scorer: _Scorer, out: Path, job: dict[str, Any], machine: dict[str, Any]) -> tuple[int, int]:
    """(rows in the file, rows that an earlier call had written)."""
    part, note = out.with_name(out.name + ".part"), out.with_name(out.name + ".part.json")
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
        part.replace(out)
    except BaseException as error:
        if not scorer.rereadable or (isinstance(error, AlbertError) and error.kind is ErrorKind.DATA):
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
    """(rows, bytes) that an interrupted call of the same job has safely written, and a remark where it was another.

    One on another machine is gone on with, and that is told.
    """
    try:
        if not (is_plain(note) and is_plain(part)):
            return 0, 0, []
        stored = read_object(note)
        done = typed(
            _Done, {name: stored.pop(name) for name in ("rows", "bytes", "machine") if name in stored}, str(note)
        )
        rows, size = done.rows, done.bytes
        if part.stat().st_size < size:
            return 0, 0, []
    except (OSError, AlbertError):
        return 0, 0, []
    if other := [name for name in {**job, **stored} if stored.get(name) != job.get(name)]:
        what = ", ".join(other)
        return 0, 0, [f"{rows:,} rows of an earlier call with another {what} were not used: all are computed anew"]
    then = done.machine
    if other := [name for name in {**machine, **then} if then.get(name) != machine.get(name)]:
        told = ", ".join(
            f"{name:.40} {then.get(name, 'unknown')!s:.40} then, {machine.get(name)} now" for name in other
        )
        return rows, size, [f"{rows:,} rows are of an earlier call, whose scores can differ in the last digits: {told}"]
    return rows, size, []


def _answer(prediction: Prediction, key: str) -> Any:
    """What is predicted of a row: the vector of a text, where that is all there is."""
    return prediction.get("embedding", prediction[key])
