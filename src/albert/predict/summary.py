"""Extractive summaries: the sentences of a text that stand for the others, told by an encoder's vectors.

A sentence is central if it is like the mean of all (the centroid of Radev et al. 2004, of vectors); of those that are,
each is taken if it says something that the ones before it do not (maximal marginal relevance, Carbonell and Goldstein
1998). benchmarks/summaries.py compares it with LexRank, which an earlier version was after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sentencex import segment

_RELEVANCE = 0.7  # what centrality counts beside being new


@dataclass(frozen=True)
class Sentence:
    """A part of the text, [start, end), and how central it is; all of a text's sum up to 1."""

    text: str
    start: int
    end: int
    score: float = 0.0


def sentences(text: str, *, language: str = "en") -> list[Sentence]:
    """The sentences of a text where they stand, white space around them left out."""
    found, at = [], 0
    for part in segment(language, text):
        words = part.strip()
        if not words:
            continue
        start = text.find(words, at)
        if start < 0:  # a rule of the language changed characters
            continue
        at = start + len(words)
        found.append(Sentence(words, start, at))
    return found


def summarize(
    parts: list[Sentence], vectors: Float[np.ndarray, "sentences hidden"], count: int,
    *, near: Float[np.ndarray, " sentences"] | None = None,
) -> list[Sentence]:  # fmt: skip
    """At most `count` of the sentences, in the order of the text, from a vector each.

    `near` tells how much each counts for what the summary is to be about.
    """
    if not parts:
        return []
    alike = similarity(vectors)
    scores = centrality(vectors)
    if near is not None:
        scores = scores * np.maximum(near, 1e-6)
        scores /= scores.sum()
    chosen = diverse(scores, alike, count)
    return [Sentence(parts[i].text, parts[i].start, parts[i].end, float(scores[i])) for i in sorted(chosen)]


def similarity(vectors: Float[np.ndarray, "n hidden"]) -> Float[np.ndarray, "n n"]:
    """Cosines, 0 where they would be negative. What all sentences share is taken out first: it hides differences."""
    rest = vectors - vectors.mean(0) if len(vectors) > 2 else vectors
    units = rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-12)
    alike = np.asarray(units @ units.T)
    return np.maximum(alike, 0.0, out=alike)


def centrality(vectors: Float[np.ndarray, "n hidden"]) -> Float[np.ndarray, " n"]:
    """How like the mean of all a sentence is, from vectors of length 1; all sum up to 1."""
    scores = np.maximum(vectors @ vectors.mean(0), 1e-6)
    return np.asarray(scores / scores.sum())


def diverse(scores: Float[np.ndarray, " n"], alike: Float[np.ndarray, "n n"], count: int) -> list[int]:
    """The places of `count` sentences, best first, each central and unlike those before it."""
    relevant = _RELEVANCE * scores / scores.max()
    told = np.zeros(len(scores))  # how much of each was said by those before it
    chosen: list[int] = []
    for _ in range(min(count, len(scores))):
        chosen.append(int(np.argmax(relevant - (1 - _RELEVANCE) * told)))
        told = np.maximum(told, alike[chosen[-1]])
        relevant[chosen[-1]] = -np.inf
    return chosen
