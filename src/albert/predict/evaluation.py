"""A model's scores on a labelled file, with all that a report is made of."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from albert.data.examples import Columns, Example, guess_columns, label_values, read_examples
from albert.data.reading import DataSource
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind
from albert.storage.files import as_json, write_output
from albert.tasks.facts import Facts, resolved

if TYPE_CHECKING:
    from albert.predict.predictor import Predictor


@dataclass(frozen=True)
class Evaluation:
    """Scores on a labelled file, beside what its most frequent answer would reach on `metric`.

    `interval` holds 95 % of the bootstrap distribution of `metric`, and `calibration_error` is the ECE (15 bins) where
    labels share one softmax. `remarks` tell what was odd in the file, in words, and `facts` are what a report is
    made of.
    """

    path: str
    rows: int
    metric: str
    scores: dict[str, float]
    baseline: float
    interval: tuple[float, float]
    calibration_error: float | None
    remarks: tuple[str, ...]
    facts: Facts = field(compare=False, repr=False)

    def save(self, path: str | Path) -> None:
        """Writes the scores as JSON; `albert.report.write_report(path, self.facts)` makes a page of them.

        Raises `AlbertError`: usage for a name that ends in .html, disk where it cannot be written.
        """
        if Path(path).suffix.lower() == ".html":
            raise AlbertError(
                ErrorKind.USAGE, str(path), expected="a name for JSON",
                hint="albert.report.write_report(path, evaluation.facts) writes a page",
            )  # fmt: skip
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "facts"}
        write_output(Path(path), as_json(named))


def evaluated(predictor: Predictor, source: DataSource) -> Evaluation:
    """What `Predictor.evaluate` gives, with the predictor's columns and lengths."""
    table, columns, examples, told = _read(predictor, source)
    outputs, remarks = predictor.judged(examples)
    scores = predictor.task.score(outputs, predictor.labels, predictor.thresholds)
    baseline = predictor.task.baseline(examples, examples, predictor.labels)
    facts = Facts(
        title=Path(predictor.name).name,
        task=predictor.task,
        labels=predictor.labels,
        outputs=outputs,
        scores=scores,
        baseline=baseline,
        tokenizer=predictor.tokenizer,
        lengths=predictor.lengths,
        about={"evaluation data": f"{table.path}, {len(examples):,} rows"},
        settings=predictor.config.to_dict(),
        sources=(resolved(source, predictor.task, columns, predictor.lengths),),
        thresholds=predictor.thresholds,
        metrics=Path(predictor.name) / "metrics.jsonl",
        remarks=(*told, *remarks),
    )
    return Evaluation(
        path=table.path,
        rows=len(examples),
        metric=predictor.task.metric,
        scores=scores,
        baseline=baseline[1],
        interval=(facts.interval.low, facts.interval.high),
        calibration_error=facts.calibration_error,
        remarks=(*told, *remarks),
        facts=facts,
    )


def _read(predictor: Predictor, source: DataSource) -> tuple[Table, Columns, list[Example], tuple[str, ...]]:
    """The file, its columns and rows, and what was odd in it. Raises `AlbertError` (bad-data) for bad rows."""
    table = Table(source, wanted=(*predictor.columns.texts(), *filter(None, [predictor.columns.label])))
    wanted = predictor.columns.label or guess_columns(table).label
    columns = dataclasses.replace(predictor.columns_of(table), label=wanted)
    if columns.label not in table.columns:
        raise AlbertError(
            ErrorKind.DATA,
            f"{table.path}: no label column {columns.label!r}",
            got="columns " + ", ".join(table.columns),
            hint="name it with --label COLUMN" + (f"; {table.advice}" if table.advice else ""),
        )
    problems = Problems(table.path)
    parse_gold = predictor.task.parser(label_values(table, columns))
    examples = list(read_examples(table, columns, parse_gold, problems))
    problems.raise_if_any()
    if not examples:
        raise AlbertError(ErrorKind.DATA, table.path, expected="rows of data", got="a header alone")
    return table, columns, examples, (*table.remarks, *problems.remarks)
