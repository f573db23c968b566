"""Summaries of texts of any length: sentences chosen by their vectors, in groups where there are too many at once."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from albert.documents.vectors import Encoder
from albert.errors import AlbertError, ErrorKind
from albert.predict.summary import Sentence, sentences, summarize

_AT_ONCE = 512  # sentences compared with each other: the table of pairs grows with the square
_FOCUS = 0.5  # of a vector that leans towards the words that the summary is to be about


def summary(
    text: str, encoder: Encoder, *, count: int = 3, share: float | None = None, focus: str = ""
) -> list[Sentence]:
    """At most `count` sentences of the text, or the `share` of all, in its order.

    With a `focus` those that are like it count for more. Raises `AlbertError` (bad-data) for a text without sentences.
    """
    parts = sentences(text)
    if not parts:
        raise AlbertError(ErrorKind.DATA, "summary", expected="a text with sentences", got="none")
    vectors = encoder([part.text for part in parts])
    return telling(parts, vectors, count=count, share=share, focus=encoder([focus])[0] if focus.strip() else None)


def telling(
    parts: list[Sentence], vectors: Float[np.ndarray, "sentences hidden"], *,
    count: int = 3, share: float | None = None, focus: Float[np.ndarray, " hidden"] | None = None,
) -> list[Sentence]:  # fmt: skip
    """The same from the vectors of the sentences and of the focus, all of length 1."""
    wanted = count if share is None else max(1, math.ceil(share * len(parts)))
    near = None
    if focus is not None:
        near = vectors @ focus
        kept = np.sort(np.argsort(-near, kind="stable")[: max(wanted, math.ceil(len(parts) * _FOCUS))])
        parts, vectors, near = [parts[i] for i in kept], vectors[kept], near[kept]
    while len(parts) > _AT_ONCE:  # the most telling ones of each stretch of the text go on
        left = _thinned(parts, vectors, wanted)
        parts, vectors, near = [parts[i] for i in left], vectors[left], None if near is None else near[left]
        if len(parts) <= wanted:
            return parts
    return summarize(parts, vectors, wanted, near=near)


def _thinned(parts: list[Sentence], vectors: np.ndarray, wanted: int) -> list[int]:
    """The places of the most telling sentences of each stretch."""
    each = max(_AT_ONCE // 2, math.ceil(wanted * _AT_ONCE / len(parts)))
    kept: list[int] = []
    for start in range(0, len(parts), _AT_ONCE):
        stretch = parts[start : start + _AT_ONCE]
        chosen = {
            one.start
            for one in summarize(stretch, vectors[start : start + _AT_ONCE], min(each, len(stretch) // 2 or 1))
        }
        kept += [start + place for place, one in enumerate(stretch) if one.start in chosen]
    return kept
