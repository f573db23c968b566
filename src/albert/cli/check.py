"""`albert check`: what is wrong with labelled files, for people on stdout, for programs as JSON and exit code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import typer

from albert.cli.options import AsJson, data_options
from albert.data.reading import DataOptions, DataSource
from albert.errors import ErrorKind

if TYPE_CHECKING:
    from albert.audit.dataset import Audit
    from albert.audit.findings import Finding
    from albert.audit.texts import PieceCounts

_BAR = 40
_SHOWN_LABELS = 12


@data_options
def check(
    data: Annotated[str, typer.Argument(help="Labelled CSV, TSV, Excel, JSONL or CoNLL file to train on.")],
    dev: Annotated[str | None, typer.Option(help="File to evaluate on.")] = None,
    test: Annotated[str | None, typer.Option(help="File for the final scores.")] = None,
    init: Annotated[str, typer.Option(help="Model folder or hub id whose vocabulary counts.")] = "starter",
    show: Annotated[int, typer.Option(min=0, help="Places listed of each finding.")] = 5,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    json: AsJson = False,
    **options: Unpack[DataOptions],
) -> None:
    """Find what is wrong with labelled files before training on them; exit 65 if there are errors."""
    from albert.audit.dataset import AuditConfig, audit
    from albert.audit.findings import Severity

    result = audit(AuditConfig(train=DataSource(data, **options), dev=dev, test=test, init=init))
    if json:
        from json import dumps

        print(dumps(_as_json(result), ensure_ascii=False))
    else:
        print("\n".join(_lines(result, show)))
    if result.count(Severity.ERROR) or (strict and result.count(Severity.WARNING)):
        raise typer.Exit(ErrorKind.DATA.exit_code)


def _as_json(result: Audit) -> dict[str, Any]:
    from albert.audit.findings import Severity

    return {
        "task": result.task,
        "reason": result.reason,
        "columns": {"text": result.columns.text, "text_pair": result.columns.text_pair, "label": result.columns.label},
        "splits": [vars(split) for split in result.splits],
        "labels": result.labels,
        "pieces": result.pieces and _pieces_as_json(result.pieces, result.lengths.max_length),
        **{f"{severity}s": result.count(severity) for severity in Severity},
        "findings": [
            {**vars(finding), "places": [vars(place) for place in finding.places]} for finding in result.findings
        ],
    }


def _pieces_as_json(pieces: PieceCounts, max_length: int) -> dict[str, Any]:
    return {
        **pieces.percentiles(),
        "histogram": pieces.histogram(),
        "max_length": max_length,
        "longer": pieces.longer_than(max_length),
        "unknown_rate": round(pieces.unknown_rate, 6),
    }


def _lines(result: Audit, show: int) -> Iterator[str]:
    from albert.audit.findings import Severity

    yield f"task      {result.task}: {result.reason}"
    columns = result.columns
    yield f"columns   text {' and '.join(map(repr, columns.texts()))}, label {columns.label!r}"
    for split in result.splits:
        bad = f", {split.bad:,} bad" if split.bad else ""
        yield f"{split.name:9} {split.file}: {split.rows:,} rows{bad}"
    if result.labels:
        shown = [f"{label} {count:,}" for label, count in list(result.labels.items())[:_SHOWN_LABELS]]
        more = f", … {len(result.labels):,} in all" if len(result.labels) > len(shown) else ""
        yield "labels    " + ", ".join(shown) + more
    if result.pieces:
        yield from _piece_lines(result.pieces, result.lengths.max_length)
    for finding in result.findings:
        yield ""
        yield from _finding_lines(finding, show)
    yield ""
    counts = [(result.count(severity), severity) for severity in Severity]
    yield ", ".join(f"{count} {severity}{'s' * (count != 1)}" for count, severity in counts)


def _piece_lines(pieces: PieceCounts, max_length: int) -> Iterator[str]:
    said = ", ".join(f"{name} {length:,}" for name, length in pieces.percentiles().items())
    yield f"pieces    {said}; over {max_length}: {pieces.longer_than(max_length):,}"
    yield f"unknown   {pieces.unknown_rate:.3%} of the pieces"
    histogram = pieces.histogram()
    highest = max(count for _, count in histogram)
    for bound, count in histogram:
        yield f"{f'to {bound:,}':>9} {count:7,} {'█' * round(_BAR * count / highest)}".rstrip()


def _finding_lines(finding: Finding, show: int) -> Iterator[str]:
    yield f"{finding.severity}[{finding.kind}] {finding.message}: {finding.count:,}"
    for place in finding.places[:show]:
        yield f"  {place}: {place.detail}"
    if finding.count > min(show, len(finding.places)):
        yield f"  … and {finding.count - min(show, len(finding.places)):,} more"
