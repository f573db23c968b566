"""Finds nearly equal texts among many: MinHash over character 5-grams, banding, then the exact Jaccard similarity.

Memory is 256 bytes per text and a fixed portion of shingles. Source: Broder 1997; Leskovec, Rajaraman, Ullman, Mining
of Massive Datasets, chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

THRESHOLD = 0.8
_WIDTH = 5  # characters of a shingle
_BANDS, _ROWS = 16, 4  # a pair of Jaccard 0.8 shares no band in 1 of 4,700 cases; one of 0.4 shares a band in 1 of 3
_ESTIMATE = 0.65  # the least share of equal hashes for an exact comparison: three standard errors below the threshold
_NEIGHBOURS = 8  # texts of a bucket that a text is compared with: the work stays linear for any bucket
_PORTION = 1 << 20  # characters hashed at a time


class Match(NamedTuple):
    """A text that is nearly equal to an earlier one, by their positions."""

    later: int
    earlier: int
    jaccard: float


def near_duplicates(texts: Sequence[str], groups: np.ndarray) -> list[Match]:
    """For each text and each group of earlier texts, the most similar text if its Jaccard reaches `THRESHOLD`.

    `groups` is the group of each text. Among hundreds of similar texts, each is compared with only a few.
    """
    if len(texts) < 2:
        return []
    later, earlier, estimate = _candidates(_signatures(texts))
    order = np.lexsort((earlier, -estimate, groups[earlier], later))
    key = np.stack([later, groups[earlier]])[:, order]
    first = np.ones(len(order), bool)
    first[1:] = (key[:, 1:] != key[:, :-1]).any(0)
    best = order[first]
    pairs = np.stack([later[best], earlier[best]], 1).tolist()
    matches = (Match(a, b, _jaccard(texts[a], texts[b])) for a, b in pairs)
    return [match for match in matches if match.jaccard >= THRESHOLD]


def _jaccard(first: str, second: str) -> float:
    a, b = _shingles(first), _shingles(second)
    return len(a & b) / len(a | b)


def _padded(text: str) -> str:
    return f" {text} ".ljust(_WIDTH)


def _shingles(text: str) -> set[str]:
    padded = _padded(text)
    return {padded[start : start + _WIDTH] for start in range(len(padded) - _WIDTH + 1)}


def _signatures(texts: Sequence[str]) -> np.ndarray:
    """The lowest hash of each text's shingles under each of many hash functions, [texts, bands * rows]."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 1 << 32, _BANDS * _ROWS, np.uint32) | np.uint32(1)
    masks = rng.integers(0, 1 << 32, _BANDS * _ROWS, np.uint32)
    signatures = np.empty((len(texts), len(factors)), np.uint32)
    for start, end in _portions(texts):
        hashes, begins = _hashes([_padded(text) for text in texts[start:end]])
        for column, (factor, mask) in enumerate(zip(factors, masks, strict=True)):
            signatures[start:end, column] = np.minimum.reduceat((hashes ^ mask) * factor, begins)
    return signatures


def _portions(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    start, size = 0, 0
    for index, text in enumerate(texts):
        size += len(text)
        if size >= _PORTION:
            yield start, index + 1
            start, size = index + 1, 0
    if start < len(texts):
        yield start, len(texts)


def _hashes(padded: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """A 32-bit hash of every shingle of these texts, one text after the other, and where each text's hashes begin."""
    codes = np.frombuffer("".join(padded).encode("utf-32-le"), np.uint32)
    rolled = np.zeros(len(codes) - _WIDTH + 1, np.uint32)
    for offset in range(_WIDTH):
        rolled = rolled * np.uint32(0x01000193) ^ codes[offset : offset + len(rolled)]
    rolled = (rolled ^ (rolled >> np.uint32(16))) * np.uint32(0x85EBCA6B)  # MurmurHash3's finaliser
    rolled = (rolled ^ (rolled >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    rolled ^= rolled >> np.uint32(16)
    lengths = np.asarray([len(text) for text in padded])
    inside = np.ones(len(codes), bool)  # without those that reach into the next text
    for back in range(1, _WIDTH):
        inside[np.cumsum(lengths) - back] = False
    counts = lengths - _WIDTH + 1
    return rolled[inside[: len(rolled)]], np.cumsum(counts) - counts


def _candidates(signatures: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(later, earlier, estimated Jaccard) of the pairs that share a band and many hashes, each pair once."""
    count = len(signatures)
    found = [np.zeros((0, 2), np.int64)]
    bands = [_band_keys(signatures[:, start : start + _ROWS]) for start in range(0, _BANDS * _ROWS, _ROWS)]
    for index, keys in enumerate(bands):
        order = np.lexsort((bands[(index + 1) % _BANDS], keys))  # sorts similar texts of a large bucket side by side
        for left, right in _bucket_pairs(keys[order]):
            a, b = order[left], order[right]
            alike = (signatures[a] == signatures[b]).mean(1) >= _ESTIMATE
            found.append(np.stack([np.maximum(a, b)[alike], np.minimum(a, b)[alike]], 1))
    pairs = np.concatenate(found)
    later, earlier = np.divmod(np.unique(pairs[:, 0] * count + pairs[:, 1]), count)
    return later, earlier, _estimates(signatures, later, earlier)


def _estimates(signatures: np.ndarray, later: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    step = 1 << 16
    parts = [
        (signatures[later[start : start + step]] == signatures[earlier[start : start + step]]).mean(1)
        for start in range(0, len(later), step)
    ]
    return np.concatenate([np.zeros(0), *parts])


def _band_keys(rows: np.ndarray) -> np.ndarray:
    keys = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def _bucket_pairs(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions in sorted `keys` with equal keys: each with its next neighbours and with the first of its bucket."""
    for gap in range(1, min(_NEIGHBOURS, len(keys) - 1) + 1):
        left = np.flatnonzero(keys[gap:] == keys[:-gap])
        if not len(left):
            return
        yield left, left + gap
    first = np.searchsorted(keys, keys)
    far = np.flatnonzero(np.arange(len(keys)) - first > _NEIGHBOURS)
    yield first[far], far
