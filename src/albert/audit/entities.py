"""Doubtful spans: edges inside words, and words that usually have another tag."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from albert.audit.findings import Finding, Place, Severity, found
from albert.data.examples import Example
from albert.data.spans import OUTSIDE, Interval, are_spans, tags_over

_TIMES = 4  # the share of equal tags of a form from which another tag is doubtful
_SHARE = 0.8
_LONGEST = 6  # the most words of a form
_SHORTEST = 3  # the fewest characters of a form: shorter ones are often other words, too


class _Mention(NamedTuple):
    """A place of a form and its tag there; `OUTSIDE` for no tag."""

    example: Example
    start: int
    label: str


def span_findings(examples: Sequence[Example]) -> list[Finding]:
    """All doubtful spans; nothing for examples with other gold values."""
    spanned = [example for example in examples if are_spans(example.gold)]
    return [*_edges(spanned), *_unlike(spanned)]


def _edges(examples: Sequence[Example]) -> list[Finding]:
    spaces, twice = (
        [Place.of(e, f"{count} of them") for e in examples if (count := getattr(e.gold, mended, 0))]
        for mended in ("trimmed", "repeated")
    )
    inside = [
        Place.of(example, f"{example.text[span.start : span.end]!r} as {span.label}", at=span.start)
        for example in examples
        for span in tags_over(example.gold, example.word_places)[1]
    ]
    return [
        *found("span-spaces", Severity.WARNING, "entities that begin or end with white space", spaces),
        *found("span-twice", Severity.WARNING, "duplicate entities, which count once", twice),
        *found("span-edges", Severity.WARNING, "entities that begin or end inside a word", inside),
    ]


def _unlike(examples: Sequence[Example]) -> list[Finding]:
    """Forms that nearly always have one label: the places with another label, and the places with none."""
    other: list[Place] = []
    untagged: list[Place] = []
    for form, mentions in _mentions(examples).items():
        counts = Counter(mention.label for mention in mentions)
        tagged = sum(counts.values()) - counts[OUTSIDE]
        usual = max((label for label in counts if label != OUTSIDE), key=lambda label: (counts[label], label))
        if counts[usual] < _TIMES:
            continue
        for example, start, label in mentions:
            total = len(mentions) if label == OUTSIDE else tagged
            if label != usual and counts[usual] >= _SHARE * total:
                said = "untagged" if label == OUTSIDE else label
                detail = f"{form!r} is {said} here, {usual} in {counts[usual]} of {total} places"
                (untagged if label == OUTSIDE else other).append(Place.of(example, detail, at=start))
    return [
        *found("unlike-entities", Severity.NOTE, "entities that mostly have another tag", other),
        *found("missed-entities", Severity.NOTE, "words that are mostly tagged as entities, and not here", untagged),
    ]


def _mentions(examples: Sequence[Example]) -> dict[str, list[_Mention]]:
    """Every occurrence of the forms that are tagged often enough, tagged or not."""
    tagged = Counter(example.text[span.start : span.end] for example in examples for span in example.gold)
    forms = {form for form, count in tagged.items() if count >= _TIMES and len(form) >= _SHORTEST}
    mentions: dict[str, list[_Mention]] = defaultdict(list)
    for example in examples:
        for span in example.gold:
            form = example.text[span.start : span.end]
            if form in forms:
                mentions[form].append(_Mention(example, span.start, span.label))
        for start, end in _untagged(example, forms):
            mentions[example.text[start:end]].append(_Mention(example, start, OUTSIDE))
    return mentions


def _untagged(example: Example, forms: set[str]) -> Iterator[Interval]:
    """The places of words that spell a form outside of all spans. At each place the longest form counts."""
    at = example.word_places
    covered = 0
    for first, (start, _) in enumerate(at):
        if start < covered:
            continue
        for last in range(min(first + _LONGEST, len(at)) - 1, first - 1, -1):
            end = at[last][1]
            if example.text[start:end] in forms and not any(s.start < end and start < s.end for s in example.gold):
                yield start, end
                covered = end
                break
