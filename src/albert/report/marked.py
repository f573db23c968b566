"""A text with its gold and predicted places marked. Long stretches between marks are left out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from albert.tasks.review import Mark

_WHOLE = 700  # the most characters of a text without marks
_AROUND = 160  # characters kept beside a mark
_GAP = " … "
_WORD = 20  # characters: longer words are cut


@dataclass(frozen=True)
class Piece:
    """A stretch of text, and the labels of the marks that end with it.

    `kind`: "gold" or "said" if only one covers it, "right" if both agree on the label, "wrong" if they do not, or "".
    """

    text: str
    kind: str = ""
    note: str = ""


def pieces_of(text: str, marks: Sequence[Mark] = ()) -> list[Piece]:
    """The text in pieces, in its order."""
    if not marks:
        return [Piece(shortened(text, _WHOLE))]
    bounds = sorted({0, len(text), *(mark.start for mark in marks), *(mark.end for mark in marks)})
    pieces = []
    for start, end in itertools.pairwise(bounds):
        over = [mark for mark in marks if mark.start <= start and end <= mark.end]
        part = text[start:end]
        if not over:
            before, after = _AROUND * (start > 0), _AROUND * (end < len(text))
            pieces.append(Piece(_middle_left_out(part, before, after)))
            continue
        note = _note([mark for mark in over if mark.end == end])
        pieces.append(Piece(shortened(part, 2 * _WHOLE), _kind(over), note))
    return pieces


def shortened(text: str, limit: int) -> str:
    """At most about `limit` characters: more of the text's beginning than of its end."""
    return _middle_left_out(text, limit * 3 // 4, limit // 4)


def _middle_left_out(text: str, head: int, tail: int) -> str:
    if len(text) <= head + tail + len(_GAP):
        return text
    before, after = text[:head], text[len(text) - tail :]
    if " " in before[-_WORD:]:
        before = before[: before.rindex(" ")]
    if " " in after[:_WORD]:
        after = after[after.index(" ") + 1 :]
    return before + _GAP + after


def _kind(over: Sequence[Mark]) -> str:
    gold, said = ({mark.label for mark in over if mark.said == kind} for kind in (False, True))
    if gold and said:
        return "right" if gold & said else "wrong"
    return "gold" if gold else "said"


def _note(ending: Sequence[Mark]) -> str:
    """The labels of the marks that end here, with "gold" or "predicted" unless both agree."""
    gold = {(mark.start, mark.label) for mark in ending if not mark.said}
    said = {(mark.start, mark.label) for mark in ending if mark.said}
    if gold == said:
        return ", ".join(sorted(label for _, label in gold))
    named = [("gold", label) for _, label in sorted(gold)] + [("predicted", label) for _, label in sorted(said)]
    return ", ".join(f"{who} {label}" for who, label in named if label)
