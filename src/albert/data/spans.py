"""Labelled spans of a text, and the word tags B-, I- and O that represent them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

Interval = tuple[int, int]  # [start, end) in characters of a text

OUTSIDE = "O"
_ALIASES = {"L": "E", "U": "S", "M": "I"}  # letters of BILOU and BMES, and those of BIOES for them
_SINGLE = ("B", "S")  # begin a span after any tag
_CLOSED = ("O", "E", "S")  # end a span


class Span(NamedTuple):
    """A labelled part [start, end) of a text, in characters."""

    start: int
    end: int
    label: str


class Spans(tuple[Span, ...]):
    """The spans of a text, in order. `trimmed` of them began or ended in white space; `repeated` of them were
    duplicates.
    """

    trimmed: int = 0
    repeated: int = 0


def are_spans(gold: Any) -> TypeGuard[tuple[Span, ...]]:
    """Whether a gold value is spans. An empty one may be."""
    return isinstance(gold, tuple) and all(isinstance(span, Span) for span in gold)


def split_tag(tag: str) -> tuple[str, str]:
    """ "B-creative-work" -> ("B", "creative-work"), "O" -> ("O", ""). A label without a prefix counts as I-."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, kind = tag.partition("-")
    prefix = _ALIASES.get(prefix, prefix)
    return (prefix, kind) if dash and prefix in ("B", "I", "E", "S") else ("I", tag)


def begins(before: tuple[str, str], tag: tuple[str, str]) -> bool:
    """Whether a span begins at `tag`, given the tag before it, by conlleval's rule for IOB1, IOB2 and BIOES."""
    return tag[0] != OUTSIDE and (tag[0] in _SINGLE or before[0] in _CLOSED or before[1] != tag[1])


def chunks(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """The spans that tags of any scheme represent, as (first, last + 1, label) of their positions."""
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
    """The spans that the tags of these words represent."""
    return [Span(words[first][0], words[after - 1][1], label) for first, after, label in chunks(tags)]


def tags_over(spans: Sequence[Span], words: Sequence[Interval]) -> tuple[list[str], list[Span]]:
    """The tags B-, I- and O of these words, in order, and the spans that begin or end inside a word.

    A span that ends inside a word is widened to the whole word. If two spans touch a word, the later one gives its tag.
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


def parse_spans(value: Any, text: str | None = None) -> Spans:
    """Spans in the forms of doccano ([[start, end, label]]), Prodigy ([{"start", "end", "label"}]) and Label Studio.

    They may be JSON in a cell. White space at a span's ends is removed, and duplicates count once. Raises `ValueError`
    for another shape, for spans outside of `text`, and for overlapping spans.
    """
    written = [_parse_span(item) for item in _listed(value)]
    for span in written:
        if not 0 <= span.start < span.end or (text is not None and span.end > len(text)):
            where = "" if text is None else f" in a text of {len(text)} characters"
            raise ValueError(f"label: span [{span.start}, {span.end}]{where}: expected 0 <= start < end <= length")
    trimmed = [span if text is None else _trim(span, text) for span in written]
    spans = Spans(sorted(set(trimmed)))
    for before, span in itertools.pairwise(spans):
        if span.start < before.end:
            raise ValueError(f"label: spans [{before.start}, {before.end}] and [{span.start}, {span.end}] overlap")
    spans.trimmed = sum(a != b for a, b in zip(written, trimmed, strict=True))
    spans.repeated = len(trimmed) - len(spans)
    return spans


def look_like_spans(value: Any) -> bool:
    """Whether a value is meant as spans, correct or not: a list of items with a start, an end and a label."""
    try:
        items = _listed(value)
    except ValueError:
        return False
    return bool(items) and all(map(_looks_like_span, items))


def _listed(value: Any) -> Sequence[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"label: expected spans as JSON, got {value[:60]!r}") from None
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"label: expected a list of spans, got {type(value).__name__}")
    return value


def _looks_like_span(item: Any) -> bool:
    if isinstance(item, dict):
        return any(name in item for name in ("start", "start_offset")) and any(
            name in item for name in ("end", "end_offset")
        )
    numbers = [x for x in item if isinstance(x, int)] if isinstance(item, (list, tuple)) else []
    return len(numbers) >= 2 and any(isinstance(x, str) for x in item)


def _parse_span(item: Any) -> Span:
    if isinstance(item, dict):
        start, end = (item.get(name, item.get(f"{name}_offset")) for name in ("start", "end"))
        labels = item.get("labels")
        values = [start, end, labels[0] if isinstance(labels, list) and len(labels) == 1 else item.get("label")]
    else:
        values = list(item) if isinstance(item, (list, tuple)) else []
    match values:
        case [int() as start, int() as end, str() as label] if label.strip() and bool not in (type(start), type(end)):
            return Span(start, end, label.strip())
    raise ValueError(f"label: span {str(item)[:60]}: expected [start, end, label]")


def _trim(span: Span, text: str) -> Span:
    """The span without white space at its ends."""
    inside = text[span.start : span.end]
    if not inside.strip():
        raise ValueError(f"label: span [{span.start}, {span.end}] holds white space alone: expected a part of the text")
    start = span.start + len(inside) - len(inside.lstrip())
    return Span(start, start + len(inside.strip()), span.label)
