"""Encoded rows of random pieces."""

from __future__ import annotations

import numpy as np

from albert.data.batches import Features


def features(lengths: list[int], seed: int = 0, *, types: bool = True) -> Features:
    """Rows of these lengths without gold; token types are random, or 0."""
    rng = np.random.default_rng(seed)
    total = sum(lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = rng.integers(5, 60, total).astype(np.int32)
    return Features(ids, rng.integers(0, 2 if types else 1, total).astype(np.int8), starts, None)
