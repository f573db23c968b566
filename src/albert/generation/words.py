"""Words that a text must contain: how far a row is with each of them, and which steps still leave room for all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

States = Int[np.ndarray, "rows words"]


class Words:
    """The pieces of each word, as automata that read a text piece by piece (Knuth, Morris and Pratt 1977).

    A state counts the pieces of the word at the text's end; a word that was there stays complete. Words are written one
    after the other, so `missing` counts the pieces of those not begun, and the rest of the one that is furthest.
    """

    def __init__(self, words: Sequence[Sequence[int]], vocab_size: int) -> None:
        self.words = words
        self.lengths = np.array([len(word) for word in words])
        self.pieces = int(self.lengths.sum())
        self._next = [_automaton(word, vocab_size) for word in words]

    def start(self, rows: int) -> States:
        """The states of empty texts."""
        return np.zeros((rows, len(self.words)), np.int64)

    def after(self, states: States, pieces: Int[np.ndarray, " rows"]) -> States:
        """The states behind one more piece of each row."""
        return np.stack([table[own, pieces] for table, own in zip(self._next, states.T, strict=True)], 1)

    def missing(self, states: States) -> Int[np.ndarray, " rows"]:
        """How many pieces complete all words, at most."""
        complete = states == self.lengths
        begun = np.where(complete, 0, states).max(1)
        return self.pieces - (self.lengths * complete).sum(1) - begun

    def steps(self, states: States) -> tuple[Int[np.ndarray, " found"], Int[np.ndarray, " found"]]:
        """(row, piece) of each step that goes on with a word, or begins one."""
        rows, words = np.nonzero(states < self.lengths)
        pieces = [self.words[word][at] for word, at in zip(words.tolist(), states[rows, words].tolist(), strict=True)]
        return rows, np.array(pieces, np.int64)


def _automaton(word: Sequence[int], vocab_size: int) -> Int[np.ndarray, "states vocab"]:
    """The next state by state and piece."""
    table = np.zeros((len(word) + 1, vocab_size), np.int64)
    border = 0  # the state of the longest other prefix at the end of what was read
    for state, piece in enumerate(word):
        table[state] = table[border]
        border = int(table[border, piece]) if state else 0
        table[state, piece] = state + 1
    table[len(word)] = len(word)
    return table
