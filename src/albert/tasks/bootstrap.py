"""How far a score would move on other examples: bootstrap intervals, and a paired test of two systems.

Sources: Efron and Tibshirani 1993, chapters 13 and 16; for NLP, Koehn 2004 and Berg-Kirkpatrick et al. 2012.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from albert.tasks.review import Score

_MANY = 10_000  # examples, above which fewer resamples are drawn


@dataclass(frozen=True)
class ConfidenceInterval:
    """A score on all examples, and the range that holds the middle `level` of its bootstrap distribution."""

    score: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class PairedTest:
    """How much better the first system is than the second, with an interval, and how easily chance does as much."""

    difference: ConfidenceInterval
    p_value: float


def bootstrap(
    score: Score, examples: int, *, resamples: int | None = None, level: float = 0.95, seed: int = 0
) -> ConfidenceInterval:
    """The percentile interval of a score over `examples`, of which as many are drawn with replacement each time.

    Drawn 1,000 times unless told otherwise, 200 times from more than 10,000 examples.
    """
    drawn = [score(indices) for indices in _resamples(examples, resamples, seed)]
    return _interval(score(np.arange(examples)), np.asarray(drawn), level)


def paired_bootstrap(
    first: Score, second: Score, examples: int, *, resamples: int | None = None, level: float = 0.95, seed: int = 0
) -> PairedTest:
    """Tests two systems' scores on the same examples against the hypothesis that they are equally good.

    The p-value is two-sided: how often the difference on a resample is as far from the difference found as that is
    from 0, the finding itself counted, so that it is at least 1 / (resamples + 1).
    """

    def difference(indices: np.ndarray) -> float:
        return first(indices) - second(indices)

    found = difference(np.arange(examples))
    drawn = np.asarray([difference(indices) for indices in _resamples(examples, resamples, seed)])
    # Rounding must not part equal differences: two of the same system would otherwise seem to differ.
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
