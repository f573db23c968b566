"""Texts that occur more than once: with other labels, in other files, exactly or nearly equal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from albert.audit.findings import (
    Finding,
    Place,
    Severity,
    canonical,
    canonical_example,
    excerpt,
    found,
)
from albert.audit.similarity import near_duplicates
from albert.data.examples import Example
from albert.data.spans import are_spans

_SHOWN_SPANS = 2

Splits = Mapping[str, Sequence[Example]]  # by name, training first


class _Row(NamedTuple):
    """An example, its split, and the parts that are compared."""

    split: str
    example: Example
    text: str


def duplicate_findings(splits: Splits) -> list[Finding]:
    """Conflicting labels, rows of one file in another, repetitions within a file. Equal texts come first, then near
    ones.
    """
    names = list(splits)
    rows = [_Row(name, example, canonical_example(example)) for name in names for example in splits[name]]
    firsts: dict[str, _Row] = {}
    for row in rows:
        firsts.setdefault(row.text, row)
    return [*_conflicts(rows, firsts), *_leaks(rows, firsts, names), *_repetitions(rows), *_near(firsts, names)]


def _conflicts(rows: Sequence[_Row], firsts: Mapping[str, _Row]) -> list[Finding]:
    places = []
    for row in rows:
        example, first = row.example, firsts[row.text].example
        if _gold_key(example) != _gold_key(first):
            detail = f"{excerpt(example.text)} is {_said(example)}, at {_from(example, first)} {_said(first)}"
            places.append(Place.of(example, detail))
    # Two ratings of one text may well differ.
    severity = Severity.WARNING if rows and isinstance(rows[0].example.gold, float) else Severity.ERROR
    return found("conflicting-labels", severity, "rows with the text of an earlier one and another label", places)


def _leaks(rows: Sequence[_Row], firsts: Mapping[str, _Row], names: Sequence[str]) -> list[Finding]:
    places: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for split, example, text in rows:
        first = firsts[text]
        places[split, first.split].append(_same(example, first.example))
    return [
        finding
        for name, home in _pairs(names)
        for finding in found("leakage", Severity.ERROR, f"{name} rows whose text is in {home}, too", places[name, home])
    ]


def _repetitions(rows: Sequence[_Row]) -> list[Finding]:
    firsts: dict[Hashable, Example] = {}
    places = []
    for split, example, text in rows:
        first = firsts.setdefault((split, text, _gold_key(example)), example)
        if first is not example:
            places.append(_same(example, first))
    return found("duplicates", Severity.WARNING, "rows that repeat an earlier row of their file", places)


def _near(firsts: Mapping[str, _Row], names: Sequence[str]) -> list[Finding]:
    rows = list(firsts.values())
    groups = np.asarray([names.index(row.split) for row in rows])
    places: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for later, earlier, jaccard in near_duplicates(list(firsts), groups):
        example, other = rows[later].example, rows[earlier].example
        labels = "" if _gold_key(example) == _gold_key(other) else f", {_said(example)} against {_said(other)}"
        detail = f"{excerpt(example.text)}, {jaccard:.0%} as {_from(example, other)}{labels}"
        places[rows[later].split, rows[earlier].split].append(Place.of(example, detail))
    train = names[0]
    across = [
        finding
        for name, home in _pairs(names)
        for finding in found(
            "near-leakage", Severity.WARNING, f"{name} rows nearly equal to one in {home}", places[name, home]
        )
    ]
    inside = f"{train} rows that nearly repeat an earlier one"
    return [*across, *found("near-duplicates", Severity.NOTE, inside, places[train, train])]


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each split with each split before it."""
    return [(name, home) for index, name in enumerate(names) for home in names[:index]]


def _same(example: Example, first: Example) -> Place:
    return Place.of(example, f"{excerpt(example.text)}, as {_from(example, first)}")


def _from(example: Example, other: Example) -> str:
    """The place of the other example, in words for a reader of the first."""
    here, there = Place.of(example, ""), Place.of(other, "")
    return f"line {there.line}" if here.file == there.file else str(there)


def _gold_key(example: Example) -> Hashable:
    """What must be equal if two labels of equal texts agree: for spans, their words and types."""
    gold = example.gold
    if are_spans(gold):
        return tuple((canonical(example.text[span.start : span.end]), span.label) for span in gold)
    if _answers(gold):
        return bool(gold)  # a question may have several right answers, but not both some and none
    return gold if isinstance(gold, Hashable) else repr(gold)


def _said(example: Example) -> str:
    gold = example.gold
    if are_spans(gold):
        spans = ", ".join(f"{example.text[span.start : span.end]}={span.label}" for span in gold[:_SHOWN_SPANS])
        return f"[{spans}{', …' * (len(gold) > _SHOWN_SPANS)}]"
    if _answers(gold):
        return " | ".join(answer.text for answer in gold) or "no answer"
    return f"{gold:g}" if isinstance(gold, float) else repr(gold)


def _answers(gold: Any) -> bool:
    """Whether a gold value is answers in a text, and not spans or labels."""
    return isinstance(gold, tuple) and all(hasattr(item, "text") for item in gold)
