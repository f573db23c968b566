"""How far a score would move on other examples: bootstrap intervals, and a paired test of two systems.

Sources: Efron and Tibshirani 1993, chapters 13 and 16; for NLP, Koehn 2004 and Berg-Kirkpatrick et al. 2012.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

# A score on each of many resamples at once. `mean_of` and `each` make one.
Statistic = Callable[[Int[np.ndarray, "resamples examples"]], Float[np.ndarray, " resamples"]]
_BLOCK = 1 << 22  # example numbers in memory at a time: 32 MiB


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


def mean_of(values: Float[np.ndarray, " examples"] | Int[np.ndarray, " examples"]) -> Statistic:
    """The mean of one value an example (accuracy: 1 where it is right), fast."""
    numbers = np.asarray(values, np.float64)
    return lambda resamples: numbers[resamples].mean(axis=1)


def each(score: Callable[[Int[np.ndarray, " examples"]], float]) -> Statistic:
    """Any score, such as F1 or a correlation: a function of example numbers, some of which occur repeatedly."""
    return lambda resamples: np.array([score(indices) for indices in resamples], np.float64)


def bootstrap(
    score: Statistic, examples: int, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> ConfidenceInterval:
    """The percentile interval of a score over `examples`, of which as many are drawn with replacement each time."""
    return _interval(_on_all(score, examples), _on_resamples(score, examples, resamples, seed), level)


def paired_bootstrap(
    first: Statistic, second: Statistic, examples: int, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> PairedTest:
    """Tests two systems' scores on the same examples against the hypothesis that they are equally good.

    The p-value is two-sided: how often the difference on a resample is as far from the difference found as that is
    from 0, the finding itself counted, so that it is at least 1 / (resamples + 1).
    """

    def difference(indices: np.ndarray) -> np.ndarray:
        return first(indices) - second(indices)

    found = _on_all(difference, examples)
    drawn = _on_resamples(difference, examples, resamples, seed)
    # Rounding must not part equal differences: two of the same system would otherwise seem to differ.
    as_far = np.abs(drawn - found) >= abs(found) - 1e-12
    return PairedTest(_interval(found, drawn, level), float((1 + as_far.sum()) / (1 + resamples)))


def _interval(score: float, drawn: np.ndarray, level: float) -> ConfidenceInterval:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return ConfidenceInterval(score, float(low), float(high), level)


def _on_all(score: Statistic, examples: int) -> float:
    return float(score(np.arange(examples)[None])[0])


def _on_resamples(score: Statistic, examples: int, resamples: int, seed: int) -> np.ndarray:
    return np.concatenate([score(block) for block in _blocks(examples, resamples, seed)])


def _blocks(examples: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Example numbers drawn with replacement, [resamples, examples], some rows at a time."""
    rng = np.random.default_rng(seed)
    rows = max(_BLOCK // examples, 1)
    for start in range(0, resamples, rows):
        yield rng.integers(examples, size=(min(rows, resamples - start), examples))
