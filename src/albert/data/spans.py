"""Labelled spans of a text, and the tags B-, I- and O that stand for them word by word."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

Interval = tuple[int, int]  # [start, end) in characters of a text

OUTSIDE = "O"
_ALIASES = {"L": "E", "U": "S", "M": "I"}  # BILOU's and BMES's letters for those of BIOES
_SINGLE = ("B", "S")  # begin a span whatever stands before
_CLOSED = ("O", "E", "S")  # after these no span goes on


class Span(NamedTuple):
    """A labelled part [start, end) of a text, in characters."""

    start: int
    end: int
    label: str


def are_spans(gold: Any) -> TypeGuard[tuple[Span, ...]]:
    """Whether a gold value is spans; without any it may be."""
    return isinstance(gold, tuple) and all(isinstance(span, Span) for span in gold)


def split_tag(tag: str) -> tuple[str, str]:
    """ "B-creative-work" -> ("B", "creative-work"), "O" -> ("O", ""); a label without a prefix counts as I-."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, kind = tag.partition("-")
    prefix = _ALIASES.get(prefix, prefix)
    return (prefix, kind) if dash and prefix in ("B", "I", "E", "S") else ("I", tag)


def begins(before: tuple[str, str], tag: tuple[str, str]) -> bool:
    """Whether a span begins at `tag`, given the tag before it: conlleval's rule, for IOB1, IOB2 and BIOES alike."""
    return tag[0] != OUTSIDE and (tag[0] in _SINGLE or before[0] in _CLOSED or before[1] != tag[1])


def chunks(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """The spans that tags in any scheme stand for, as (first, last + 1, label) of their positions."""
    found: list[tuple[int, int, str]] = []
    before, start = (OUTSIDE, ""), -1
    for index, tag in enumerate(itertools.chain(map(split_tag, tags), [(OUTSIDE, "")])):
        new = begins(before, tag)
        if start >= 0 and (new or tag[0] == OUTSIDE):
            found.append((start, index, before[1]))
            start = -1
        if new:
            start = index
        before = tag
    return found


def spans_over(tags: Sequence[str], words: Sequence[Interval]) -> list[Span]:
    """The spans that the tags of these words stand for."""
    return [Span(words[first][0], words[after - 1][1], label) for first, after, label in chunks(tags)]


def tags_over(spans: Sequence[Span], words: Sequence[Interval]) -> tuple[list[str], list[Span]]:
    """The tags B-, I- and O of these words, in their order, and the spans that begin or end inside a word.

    Such a span is widened to the words it touches; of a word that two spans touch, the later one has the tag.
    """
    tags, misfits = [OUTSIDE] * len(words), []
    first = 0
    for span in sorted(spans):
        while first < len(words) and words[first][1] <= span.start:
            first += 1
        after = first
        while after < len(words) and words[after][0] < span.end:
            tags[after] = f"{'B' if after == first else 'I'}-{span.label}"
            after += 1
        if after == first or (words[first][0], words[after - 1][1]) != (span.start, span.end):
            misfits.append(span)
    return tags, misfits


def parse_spans(value: Any, text: str | None = None) -> tuple[Span, ...]:
    """Spans as doccano ([[start, end, label]]) and Prodigy ([{"start", "end", "label"}]) write them, in order.

    Raises `ValueError` for another shape, for spans outside of `text`, and for spans that overlap.
    """
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"label: expected a list of spans, got {type(value).__name__}")
    spans = sorted(_parse_span(item) for item in value)
    for span in spans:
        if not 0 <= span.start < span.end or (text is not None and span.end > len(text)):
            where = "" if text is None else f" in a text of {len(text)} characters"
            raise ValueError(f"label: span [{span.start}, {span.end}]{where}: expected 0 <= start < end <= length")
    for before, span in itertools.pairwise(spans):
        if span.start < before.end:
            raise ValueError(f"label: spans [{before.start}, {before.end}] and [{span.start}, {span.end}] overlap")
    return tuple(spans)


def _parse_span(item: Any) -> Span:
    if isinstance(item, dict):
        start, end = (item.get(name, item.get(f"{name}_offset")) for name in ("start", "end"))
        values = [start, end, item.get("label")]
    else:
        values = list(item) if isinstance(item, (list, tuple)) else []
    match values:
        case [int() as start, int() as end, str() as label] if label.strip() and bool not in (type(start), type(end)):
            return Span(start, end, label.strip())
    raise ValueError(f"label: span {str(item)[:60]}: expected [start, end, label]")
