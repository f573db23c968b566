"""A check of labelled files before training: reads what can be read, guesses the task, and lists what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from albert.audit.duplicates import duplicate_findings
from albert.audit.entities import span_findings
from albert.audit.findings import Finding, Place, Severity, found
from albert.audit.labels import count_labels, label_findings, number_findings
from albert.audit.learned import learned_findings
from albert.audit.texts import PieceCounts, piece_findings, text_findings
from albert.data.examples import (
    Columns,
    Example,
    guess_columns,
    label_values,
    read_examples,
    require_alike,
    require_columns,
)
from albert.data.reading import DataSource
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.errors import AlbertError
from albert.hub import STARTER
from albert.tasks import WRITING, Lengths, Task, guess_task, task_named
from albert.text.encodings import Tokenizer
from albert.text.hardening.hardener import SURROGATE
from albert.text.open import open_tokenizer

_SHOWN_VALUES = 4
_SHOWN_CHARACTERS = 24


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """The files to check, all read as `train` says, and the model whose vocabulary counts."""

    train: DataSource
    dev: str | None = None
    test: str | None = None
    init: str = STARTER

    def __post_init__(self) -> None:
        object.__setattr__(self, "train", DataSource.of(self.train))  # a path alone is a source without options

    @property
    def files(self) -> dict[str, str]:
        """The given files by the names of their splits, training first."""
        named = {"train": self.train.path, "dev": self.dev, "test": self.test}
        return {name: path for name, path in named.items() if path is not None}


@dataclass(frozen=True)
class SplitFacts:
    """A file and how many of its rows are good and bad."""

    name: str
    file: str
    rows: int
    bad: int


@dataclass(frozen=True)
class Audit:
    """What was read and what is wrong with it, the worst first. `reason` says why the task was chosen."""

    task: str
    reason: str
    columns: Columns
    splits: list[SplitFacts]
    labels: dict[str, int]
    lengths: Lengths
    pieces: PieceCounts | None
    findings: list[Finding]

    def count(self, severity: Severity) -> int:
        """The number of kinds of findings with this severity."""
        return sum(finding.severity is severity for finding in self.findings)


def audit(config: AuditConfig, *, tokenizer: Tokenizer | None = None) -> Audit:
    """Checks the files. Bad rows are findings, and the good rows are checked further.

    A given `tokenizer` is used instead of the model's. Raises `AlbertError` (bad-data) for a file that cannot be read
    at all or whose columns are not clear.
    """
    tokenizer = tokenizer or open_tokenizer(config.init)
    first = Table(config.train)
    columns = guess_columns(first)
    tables = {
        name: first if name == "train" else Table(config.train.at(path), wanted=columns.names())
        for name, path in config.files.items()
    }
    for table in tables.values():
        require_columns(table, columns)
        require_alike(table, first)
    task, reason = _task(first, columns)
    lengths = task.lengths.adjusted(config.train.max_length, config.train.stride)
    parse_gold = task.parser(label_values(first, columns))
    read = {name: _Read.of(table, columns, parse_gold) for name, table in tables.items()}
    splits = {name: part.examples for name, part in read.items()}
    train = splits["train"]
    pieces = PieceCounts.of(train, tokenizer) if train else None
    findings = [finding for part in read.values() for finding in part.findings]
    if pieces is not None:
        findings += _unusable(task, train, columns)
        findings += _findings(splits, pieces, lengths=lengths, labelled=task.name not in WRITING)
    return Audit(
        task.name,
        reason,
        columns,
        [SplitFacts(name, tables[name].path, len(part.examples), part.bad) for name, part in read.items()],
        {} if task.name in WRITING else count_labels(train),
        lengths,
        pieces,
        sorted(findings, key=lambda finding: list(Severity).index(finding.severity)),
    )


def _findings(
    splits: Mapping[str, Sequence[Example]], pieces: PieceCounts, *, lengths: Lengths, labelled: bool
) -> list[Finding]:
    """All of them; those on labels where rows have labels rather than texts to write."""
    everything = [example for examples in splits.values() for example in examples]
    train = next(iter(splits.values()))
    return [
        *(label_findings(splits) if labelled else []),
        *number_findings(everything),
        *duplicate_findings(splits),
        *text_findings(everything),
        *span_findings(everything),
        *piece_findings(train, pieces, max_length=lengths.max_length, fate=lengths.fate()),
        *(learned_findings(train) if labelled else []),
    ]


def _task(table: Table, columns: Columns) -> tuple[Task, str]:
    """The task, and in words why it is this one."""
    if table.source.task is not None:
        return task_named(table.source.task), "as --task says"
    values = label_values(table, columns)
    distinct = list(dict.fromkeys(map(str, values)))
    shown = ", ".join(_shortened(value) for value in distinct[:_SHOWN_VALUES]) + ", …" * (len(distinct) > _SHOWN_VALUES)
    number = f"{len(distinct)} different values" if len(distinct) > 1 else "one value"
    reason = f"the first {len(values)} rows of column {columns.label!r} hold {number}: {shown}"
    return guess_task(values, columns, keep_na=table.source.keep_na), reason


def _shortened(value: str) -> str:
    return value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 1] + "…"


@dataclass(frozen=True)
class _Read:
    """The good rows of a file, and its bad ones as findings."""

    examples: list[Example]
    bad: int
    findings: list[Finding]

    @classmethod
    def of(cls, table: Table, columns: Columns, parse: Callable[[Any, Example], Any]) -> _Read:
        """Reads the rows and goes on after bad ones."""

        def parse_gold(value: Any, example: Example) -> Any:
            if any(map(SURROGATE.search, (example.text, example.text_pair or "", *example.choices))):
                raise ValueError("half a character (a lone surrogate)")
            return parse(value, example)

        problems = Problems(table.path)
        examples = list(read_examples(table, columns, parse_gold, problems))
        places = sorted((_place(table.path, line) for line in problems.lines), key=lambda place: place.line)
        if not examples and not places:
            places = [Place(table.path, 1, "no rows of data")]
        remarks = [_remark_place(table.path, remark) for remark in problems.remarks]
        assumed = [_remark_place(table.path, remark) for remark in table.remarks]
        repaired = ("tag-scheme", "tags") if table.layout.format == "conll" else ("label-separators", "labels")
        return cls(
            examples,
            problems.count,
            [
                *found("bad-rows", Severity.ERROR, "rows that cannot be read", places, count=max(problems.count, 1)),
                *found(repaired[0], Severity.WARNING, f"{repaired[1]} that were repaired", remarks),
                *found("layout", Severity.NOTE, "what was assumed of the file", assumed),
            ],
        )


def _place(path: str, problem: str) -> Place:
    """ "file:12: what" as a place."""
    line, _, what = problem.removeprefix(f"{path}:").partition(": ")
    return Place(path, int(line), what)


def _remark_place(path: str, remark: str) -> Place:
    """A remark on a file as a place, at the first line that it names."""
    line = re.match(re.escape(path) + r":(\d+): ", remark)
    what = remark[line.end() :] if line else remark.removeprefix(f"{path}: ")
    line = line or re.search(r"lines (\d+)", what)
    return Place(path, int(line[1]) if line else 1, what)


def _unusable(task: Task, train: Sequence[Example], columns: Columns) -> list[Finding]:
    """The task's own objections to the labels."""
    try:
        task.labels(train, column=columns.label or "")
    except AlbertError as error:
        detail = f"expected {error.expected}, got {error.got}"
        return found("unusable-labels", Severity.ERROR, error.what, [Place.of(train[0], detail)])
    return []
