"""n-gram masking of whole words, for a batch at a time (ALBERT, section 4.1; Google's create_pretraining_data.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from albert.config import CLS_ID, MASK_ID, PAD_ID, SEP_ID
from albert.pretraining.draws import bits, uniform, whole

FIRST_ORDINARY = 5  # <pad> <unk> [CLS] [SEP] [MASK] come before
_SIZE, _ORDER, _KIND, _OTHER = range(4)  # the slots of the draws


@dataclass(frozen=True)
class Masked:
    """A batch with hidden pieces: the input, their positions in the flattened batch, and the original pieces."""

    input_ids: np.ndarray  # [batch, seq]
    positions: np.ndarray  # [masked]
    ids: np.ndarray  # [masked]


def mask_words(
    ids: np.ndarray,
    starts: np.ndarray,
    rows: np.ndarray,
    key: tuple[int, ...],
    *,
    rate: float,
    max_ngram: int,
    max_masked: int = 0,
) -> Masked:
    """Hides n-grams of words: 80 % become [MASK], 10 % stay, 10 % become another piece, drawn per piece.

    `ids` [batch, seq]; `starts` as from `word_starts`. `rows` [batch] is each row's own number; with `key` it decides
    all draws. n is 1 to `max_ngram` with p proportional to 1/n, reduced until it fits the row's round(rate x length)
    pieces (at least 1, at most `max_masked` unless 0). An n-gram stays within its segment.
    """
    hidden = choose_words(ids, starts, rows, key, rate=rate, max_ngram=max_ngram, max_masked=max_masked)
    row, column = np.nonzero(hidden)
    draw = uniform(*key, rows[row], _KIND, column)
    other = whole(FIRST_ORDINARY, len(starts) - 1, *key, rows[row], _OTHER, column)
    original = ids[row, column]
    masked = ids.copy()
    masked[row, column] = np.where(draw < 0.8, MASK_ID, np.where(draw < 0.9, original, other))
    return Masked(masked, row * ids.shape[1] + column, original)


def choose_words(
    ids: np.ndarray,
    starts: np.ndarray,
    rows: np.ndarray,
    key: tuple[int, ...],
    *,
    rate: float,
    max_ngram: int,
    max_masked: int = 0,
) -> np.ndarray:
    """The hidden positions, [batch, seq]; see `mask_words`. All rows choose together."""
    usable = (ids != PAD_ID) & (ids != CLS_ID) & (ids != SEP_ID)
    words = _Words(ids, usable, starts)
    lengths = (ids != PAD_ID).sum(1)
    wanted = np.maximum(1, np.rint(rate * lengths).astype(np.int64))
    if max_masked:
        wanted = np.minimum(wanted, max_masked)
    order = _shuffled(words.present, rows, key)
    hidden = np.zeros_like(words.present)
    left = wanted
    rows_all = np.arange(len(ids))
    for turn in range(order.shape[1]):
        active = (left > 0) & (turn < words.count)
        if not active.any():
            break
        first = order[:, turn]
        size = _drawn_size(np.minimum(max_ngram, words.left_in_segment[rows_all, first]), rows, key, turn)
        while (too_long := active & (size > 1) & (words.pieces(first, size) > left)).any():
            size = size - too_long
        pieces = words.pieces(first, size)
        takes = active & (pieces <= left) & ~hidden[rows_all, first]
        for step in range(1, max_ngram):
            takes &= ~((step < size) & hidden[rows_all, np.minimum(first + step, hidden.shape[1] - 1)])
        for step in range(max_ngram):
            chosen = np.flatnonzero(takes & (step < size))
            hidden[chosen, first[chosen] + step] = True
        left = left - np.where(takes, pieces, 0)
    return usable & hidden[rows_all[:, None], words.of_position]


class _Words:
    """The words of a batch, numbered per row. Columns after a row's last word are absent."""

    def __init__(self, ids: np.ndarray, usable: np.ndarray, starts: np.ndarray) -> None:
        new_segment = usable & ~np.pad(usable, ((0, 0), (1, 0)))[:, :-1]
        begins = usable & (starts[ids] | new_segment)
        self.of_position = np.maximum(np.cumsum(begins, 1) - 1, 0)
        self.count = begins.sum(1)
        width = max(1, int(self.count.max(initial=0)))
        self.present = np.arange(width) < self.count[:, None]
        row, column = np.nonzero(begins)
        word = self.of_position[row, column]
        self.begin = np.zeros((len(ids), width + 1), np.int64)
        self.begin[row, word] = column
        row, column = np.nonzero(usable)
        self.end = np.zeros((len(ids), width + 1), np.int64)
        self.end[row, self.of_position[row, column]] = column + 1  # the last write is the word's last piece
        # A segment's last word is followed by a special piece, so the next word does not begin where it ends.
        last = self.begin[:, 1:] != self.end[:, :-1]
        reach = np.where(last, np.arange(width), width)
        reach = np.minimum.accumulate(reach[:, ::-1], axis=1)[:, ::-1]
        self.left_in_segment = reach - np.arange(width) + 1

    def pieces(self, first: np.ndarray, size: np.ndarray) -> np.ndarray:
        """The number of pieces in `size` words from `first` on, per row."""
        rows = np.arange(len(first))
        result: np.ndarray = self.end[rows, first + size - 1] - self.begin[rows, first]
        return result


def _shuffled(present: np.ndarray, rows: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
    draws = bits(*key, rows[:, None], _ORDER, np.arange(present.shape[1]))
    return np.argsort(np.where(present, draws, ~np.uint64(0)), axis=1, kind="stable")


def _drawn_size(most: np.ndarray, rows: np.ndarray, key: tuple[int, ...], turn: int) -> np.ndarray:
    """n from 1 to `most` with p proportional to 1/n."""
    weights = np.cumsum(1 / np.arange(1, int(most.max()) + 1))
    draw = uniform(*key, rows, _SIZE, turn) * weights[most - 1]
    return 1 + np.searchsorted(weights, draw, side="right")
