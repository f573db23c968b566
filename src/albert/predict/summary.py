"""Extractive summaries: the most central sentences of a text, chosen by an encoder's vectors.

A sentence is central if it is similar to the mean of all sentences (the centroid of Radev et al. 2004, with vectors). A
central sentence is chosen if it differs from the sentences chosen before (maximal marginal relevance, Carbonell and
Goldstein 1998). benchmarks/summaries.py compares this with LexRank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sentencex import segment

_RELEVANCE = 0.7  # the weight of centrality against novelty


@dataclass(frozen=True)
class Sentence:
    """A part of the text, [start, end), and its centrality. The centralities of a text sum to 1."""

    text: str
    start: int
    end: int
    score: float = 0.0


def sentences(text: str, *, language: str = "en") -> list[Sentence]:
    """The sentences of a text with their places, without white space around them."""
    found, at = [], 0
    for part in segment(language, text):
        words = part.strip()
        if not words:
            continue
        start = text.find(words, at)
        if start < 0:  # a rule of the language changed the characters
            continue
        at = start + len(words)
        found.append(Sentence(words, start, at))
    return found


def summarize(
    parts: list[Sentence], vectors: Float[np.ndarray, "sentences hidden"], count: int,
    *, near: Float[np.ndarray, " sentences"] | None = None,
) -> list[Sentence]:  # fmt: skip
    """At most `count` of the sentences, in the order of the text, from one vector per sentence.

    `near` weighs each sentence by its similarity to a subject.
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
    """Cosines, with 0 for negative ones. What all sentences share is subtracted first, because it hides differences."""
    rest = vectors - vectors.mean(0) if len(vectors) > 2 else vectors
    units = rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-12)
    alike = np.asarray(units @ units.T)
    return np.maximum(alike, 0.0, out=alike)


def centrality(vectors: Float[np.ndarray, "n hidden"]) -> Float[np.ndarray, " n"]:
    """The similarity of each sentence to the mean of all, from vectors of length 1. The sum is 1."""
    scores = np.maximum(vectors @ vectors.mean(0), 1e-6)
    return np.asarray(scores / scores.sum())


def diverse(scores: Float[np.ndarray, " n"], alike: Float[np.ndarray, "n n"], count: int) -> list[int]:
    """The positions of `count` sentences, best first. Each is central and unlike those before it."""
    relevant = _RELEVANCE * scores / scores.max()
    told = np.zeros(len(scores))  # how much of each sentence the chosen ones already say
    chosen: list[int] = []
    for _ in range(min(count, len(scores))):
        chosen.append(int(np.argmax(relevant - (1 - _RELEVANCE) * told)))
        told = np.maximum(told, alike[chosen[-1]])
        relevant[chosen[-1]] = -np.inf
    return chosen
