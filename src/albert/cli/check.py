"""`albert check`: what is wrong with labelled files, for people on stdout, for programs as JSON and exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from albert.audit.dataset import Audit, AuditConfig, audit
from albert.audit.findings import Finding, Severity
from albert.audit.texts import PieceCounts
from albert.errors import ErrorKind

_BAR = 40
_SHOWN_LABELS = 12


def run(config: AuditConfig, *, as_json: bool, strict: bool, show: int) -> int:
    """Checks and reports; the exit code is that of bad data if there is an error (or, `strict`, a warning)."""
    result = audit(config)
    if as_json:
        print(json.dumps(_as_json(result), ensure_ascii=False))
    else:
        print("\n".join(_lines(result, show)))
    failed = result.count(Severity.ERROR) or (strict and result.count(Severity.WARNING))
    return ErrorKind.DATA.exit_code if failed else 0


def _as_json(result: Audit) -> dict[str, Any]:
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
