"""A document's text in passages: whole sentences gathered to about a hundred words, never across a heading."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from albert.documents.extracted import Extracted
from albert.predict.summary import sentences

WORDS = 100  # of a passage, about
_LONGEST = 200  # words of a sentence that stays whole
_BLANK = re.compile(r"\n[ \t\r]*\n")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Passage:
    """Characters [start, end) of a document's text, and the headings above them."""

    start: int
    end: int
    heading: str


def passages(document: Extracted, *, language: str = "en") -> list[Passage]:
    """The passages of a document in their order."""
    found = []
    for first, last in _sections(document):
        context = document.context(first)
        found += [Passage(start, end, context) for start, end in _gathered(document.text, first, last, language)]
    return found


def shown(heading: str, text: str) -> tuple[str, int]:
    """A passage as models see it, under its headings, and where in that the passage begins."""
    before = f"{heading}: " if heading and heading != text else ""
    return before + text, len(before)


def _sections(document: Extracted) -> Iterator[tuple[int, int]]:
    """From each heading to the next."""
    bounds = sorted({0, len(document.text), *(heading.start for heading in document.headings)})
    return itertools.pairwise(bounds)


def _gathered(text: str, first: int, last: int, language: str) -> Iterator[tuple[int, int]]:
    """Neighbouring sentences until they have enough words."""
    start = end = words = 0
    for a, b in _sentences(text, first, last, language):
        count = len(text[a:b].split())
        if words and words + count > WORDS:
            yield start, end
            words = 0
        if not words:
            start = a
        end, words = b, words + count
    if words:
        yield start, end


def _sentences(text: str, first: int, last: int, language: str) -> Iterator[tuple[int, int]]:
    """The sentences of each paragraph; one of too many words is divided between words."""
    for a, b in _paragraphs(text, first, last):
        for sentence in sentences(text[a:b], language=language):
            places = [(match.start(), match.end()) for match in _WORD.finditer(sentence.text)]
            for at in range(0, len(places), _LONGEST):
                part = places[at : at + _LONGEST]
                yield a + sentence.start + part[0][0], a + sentence.start + part[-1][1]


def _paragraphs(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    ends = [match.start() for match in _BLANK.finditer(text, first, last)]
    return itertools.pairwise(sorted({first, *ends, last}))
