"""Extractive summaries: the most central sentences of a text, chosen by an encoder's vectors.

A sentence is central if many others are similar to it (after LexRank, Erkan and Radev 2004). A central sentence is
chosen if it differs from the sentences chosen before (maximal marginal relevance, Carbonell and Goldstein 1998).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sentencex import segment

_DAMPING = 0.85  # LexRank's damping
_RELEVANCE = 0.7  # the weight of centrality against novelty
_ROUNDS = 50


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


def summarize(parts: list[Sentence], vectors: Float[np.ndarray, "sentences hidden"], count: int) -> list[Sentence]:
    """At most `count` of the sentences, in the order of the text, from one vector per sentence."""
    if not parts:
        return []
    alike = similarity(vectors)
    scores = centrality(alike)
    chosen = diverse(scores, alike, count)
    return [Sentence(parts[i].text, parts[i].start, parts[i].end, float(scores[i])) for i in sorted(chosen)]


def similarity(vectors: Float[np.ndarray, "n hidden"]) -> Float[np.ndarray, "n n"]:
    """Cosines, with 0 for negative ones. What all sentences share is subtracted first, because it hides differences."""
    rest = vectors - vectors.mean(0) if len(vectors) > 2 else vectors
    units = rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-12)
    alike = np.asarray(units @ units.T)
    return np.maximum(alike, 0.0, out=alike)


def centrality(alike: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    """The centrality of each sentence: it is high if the sentence is similar to central ones. The sum is 1.

    LexRank divides by a sentence's similarity to all, which makes an odd sentence among many as central as they are.
    """
    count = len(alike)
    others = alike.copy()
    np.fill_diagonal(others, 0)
    scores = np.full(count, 1 / count)
    for _ in range(_ROUNDS):
        spread = others @ scores
        scores = _DAMPING * spread / max(spread.sum(), 1e-12) + (1 - _DAMPING) / count
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
