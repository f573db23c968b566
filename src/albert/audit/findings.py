"""Findings of an audit: each has a kind, a severity, and the places in the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from albert.data.examples import Example
from albert.data.spans import Span
from albert.text.normalize import Normalizer

KEPT = 100  # the most places of a finding that are kept; all are counted
_EXCERPT = 48


class Severity(StrEnum):
    """An error spoils training or its scores. A warning probably does. A note is worth a look."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Place:
    """A line of a file, and its content."""

    file: str
    line: int
    detail: str = ""

    @classmethod
    def of(cls, example: Example, detail: str, *, at: int = 0) -> Place:
        """The line of an example. If its words stand on lines of their own, the line of the character `at`."""
        file, _, line = example.source.rpartition(":")
        return cls(file, int(line) + sum(end <= at for _, end in example.words), detail)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Finding:
    """One kind of defect, its count, and its first `KEPT` places."""

    kind: str
    severity: Severity
    message: str
    count: int
    places: tuple[Place, ...]


def found(
    kind: str, severity: Severity, message: str, places: Sequence[Place], *, count: int | None = None
) -> list[Finding]:
    """A list with the finding for these places; empty if there are none."""
    if not places:
        return []
    return [Finding(kind, severity, message, len(places) if count is None else count, tuple(places[:KEPT]))]


_NORMALIZER = Normalizer()


def canonical(text: str) -> str:
    """The text as an uncased model reads it. Texts with equal forms are the same to the model."""
    return _NORMALIZER.text(text)


def canonical_example(example: Example) -> str:
    """`canonical` of the text, followed by that of the second text of a pair."""
    return "\x1f".join(canonical(text) for text in texts_of(example))


def texts_of(example: Example) -> tuple[str, ...]:
    """The text, or both texts of a pair."""
    return (example.text,) if example.text_pair is None else (example.text, example.text_pair)


def labels_of(gold: Any) -> tuple[str, ...]:
    """The label strings of a gold value: a class, several classes, the types of spans. A number has none."""
    if isinstance(gold, str):
        return (gold,)
    if isinstance(gold, (tuple, list, set, frozenset)):
        return tuple(item.label if isinstance(item, Span) else item for item in gold if isinstance(item, (str, Span)))
    return ()


def excerpt(text: str) -> str:
    """The beginning of a text in quotes, with invisible characters spelt out."""
    short = " ".join(text[: 2 * _EXCERPT].split())
    return repr(short if len(short) <= _EXCERPT else short[: _EXCERPT - 1] + "…")
