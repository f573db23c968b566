"""Random numbers that are pure functions of their coordinates: no state, in any order, for any part of a batch.

The mixing function is SplitMix64's finaliser (Steele, Lea and Flood 2014), applied once per coordinate.
"""

from __future__ import annotations

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)


def bits(*coordinates: int | np.ndarray) -> np.ndarray:
    """64 random bits for each point of the broadcast integer coordinates, such as (seed, epoch, index, slot)."""
    with np.errstate(over="ignore"):
        state: np.ndarray = np.zeros((), np.uint64)
        for coordinate in coordinates:
            z = (state + np.asarray(coordinate).astype(np.uint64)) * np.uint64(0xD1342543DE82EF95) + _STEP
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = z ^ (z >> np.uint64(31))
    return state


def uniform(*coordinates: int | np.ndarray) -> np.ndarray:
    """Numbers in [0, 1), one for each point of the coordinates."""
    return (bits(*coordinates) >> np.uint64(11)) * 2.0**-53


def whole(low: int | np.ndarray, high: int | np.ndarray, *coordinates: int | np.ndarray) -> np.ndarray:
    """Whole numbers from `low` to `high` inclusive, one for each point of the coordinates."""
    low, high = np.asarray(low, np.int64), np.asarray(high, np.int64)
    return low + (uniform(*coordinates) * (high - low + 1)).astype(np.int64)


def coin_flips(count: np.ndarray, *coordinates: int | np.ndarray) -> np.ndarray:
    """How many of `count` fair coins show heads, for each point."""
    count = np.asarray(count, np.int64)
    heads = np.zeros(count.shape, np.int64)
    for word in range(-(-int(count.max(initial=0)) // 64)):
        left = np.clip(count - 64 * word, 0, 64).astype(np.uint64)
        kept = np.where(left == 64, ~np.uint64(0), (np.uint64(1) << (left % np.uint64(64))) - np.uint64(1))
        heads += np.bitwise_count(bits(*coordinates, word) & kept)
    return heads
