"""How much a score would vary on other examples: bootstrap intervals, and a paired test of two systems.

Sources: Efron and Tibshirani 1993, chapters 13 and 16; for NLP, Koehn 2004 and Berg-Kirkpatrick et al. 2012.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from albert.tasks.review import Score

_MANY = 10_000  # the number of examples above which fewer resamples are drawn


@dataclass(frozen=True)
class ConfidenceInterval:
    """A score on all examples, and the range with the middle `level` of its bootstrap distribution."""

    score: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class PairedTest:
    """The difference of two systems with its interval, and the p-value."""

    difference: ConfidenceInterval
    p_value: float


def bootstrap(
    score: Score, examples: int, *, resamples: int | None = None, level: float = 0.95, seed: int = 0
) -> ConfidenceInterval:
    """The percentile interval of a score. Each resample has as many examples as `examples`, drawn with replacement.

    By default it draws 1,000 resamples, and 200 from more than 10,000 examples.
    """
    drawn = [score(indices) for indices in _resamples(examples, resamples, seed)]
    return _interval(score(np.arange(examples)), np.asarray(drawn), level)


def paired_bootstrap(
    first: Score, second: Score, examples: int, *, resamples: int | None = None, level: float = 0.95, seed: int = 0
) -> PairedTest:
    """Tests two systems' scores on the same examples against the hypothesis that they are equally good.

    The two-sided p-value is the share of resamples whose difference is at least as far from the observed difference as
    that is from 0. The observation itself is counted, so the p-value is at least 1 / (resamples + 1).
    """

    def difference(indices: np.ndarray) -> float:
        return first(indices) - second(indices)

    found = difference(np.arange(examples))
    drawn = np.asarray([difference(indices) for indices in _resamples(examples, resamples, seed)])
    # Rounding must not separate equal differences: two copies of one system would otherwise seem to differ.
    as_far = np.abs(drawn - found) >= abs(found) - 1e-12
    return PairedTest(_interval(found, drawn, level), float((1 + as_far.sum()) / (1 + len(drawn))))


def _interval(score: float, drawn: np.ndarray, level: float) -> ConfidenceInterval:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return ConfidenceInterval(score, float(low), float(high), level)


def _resamples(examples: int, count: int | None, seed: int) -> Iterator[np.ndarray]:
    """Example numbers drawn with replacement, [examples] each time."""
    rng = np.random.default_rng(seed)
    for _ in range(count or (1000 if examples <= _MANY else 200)):
        yield rng.integers(examples, size=examples)
