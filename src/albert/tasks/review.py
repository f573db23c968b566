"""Predictions one by one and label by label, in a form for people to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from albert.data.examples import Example
from albert.tasks.calibration import calibration_error

NONE = "(none)"  # in place of a label if there is no gold or no prediction
Values = Sequence[float | int] | np.ndarray  # one per example
Score = Callable[[Int[np.ndarray, " examples"]], float]  # of the examples with these numbers; they may repeat


@dataclass(frozen=True)
class Mark:
    """A place in the last of an example's texts. It is gold, or predicted if `said`."""

    start: int
    end: int
    said: bool
    label: str = ""


@dataclass(frozen=True)
class Verdict:
    """An example with gold and prediction in words, and the size of the error (0 is right).

    `confidence` is the model's confidence in its prediction. Among equal errors, the most confident is the worst.
    """

    example: Example
    gold: str
    said: str
    error: float
    confidence: float | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class LabelScore:
    """The scores of one label. `threshold` is that of its decision, if it has one."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    threshold: float | None = None


@dataclass(frozen=True)
class Listing:
    """A table with its title and an explanation."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[float | str, ...]]


@dataclass(frozen=True)
class Review:
    """Predictions beside gold. Parts that a task does not have are empty.

    `error` says what `Verdict.error` counts. `score` is the task's deciding metric. `confusions` counts pairs of gold
    and predicted label, including right ones. `probabilities` [examples, labels] with `gold` [examples], and `numbers`
    [examples, 2] (gold, predicted) are for pictures.
    """

    verdicts: list[Verdict]
    error: str
    score: Score
    labels: list[LabelScore] = field(default_factory=list)
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)
    probabilities: Float[np.ndarray, "examples labels"] | None = None
    gold: Int[np.ndarray, " examples"] | None = None
    numbers: Float[np.ndarray, "examples 2"] | None = None
    listings: list[Listing] = field(default_factory=list)

    @property
    def calibration_error(self) -> float | None:
        """ECE, if labels share one softmax."""
        if self.probabilities is None or self.gold is None:
            return None
        return calibration_error(self.probabilities, self.gold)

    def worst(self, count: int) -> list[Verdict]:
        """The largest errors; among equal ones, the most confident first. Right predictions are left out."""
        wrong = [verdict for verdict in self.verdicts if verdict.error > 0]
        return sorted(wrong, key=lambda verdict: (-verdict.error, -(verdict.confidence or 0.0)))[:count]


def mean_of(values: Values) -> Score:
    """The mean of one value per example."""
    numbers = np.asarray(values, np.float64)
    return lambda chosen: float(numbers[chosen].mean())


def micro_f1(right: Values, said: Values, wanted: Values) -> Score:
    """F1 over all examples together, from counts per example."""
    table = np.stack([np.asarray(counts, np.int64) for counts in (right, said, wanted)], 1)

    def score(chosen: np.ndarray) -> float:
        hits, found, gold = table[chosen].sum(0).tolist()
        return 2 * hits / (found + gold) if found + gold else 0.0

    return score


def label_scores(confusions: Counter[tuple[str, str]], labels: Sequence[str]) -> list[LabelScore]:
    """Precision, recall, F1 and support of each label, from pairs of gold and predicted labels."""
    said: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for (gold, prediction), count in confusions.items():
        wanted[gold] += count
        said[prediction] += count
    return counted_scores({label: (confusions[label, label], said[label], wanted[label]) for label in labels})


def counted_scores(counts: Mapping[str, tuple[int, int, int]], thresholds: Sequence[float] = ()) -> list[LabelScore]:
    """The same, from how often each label was right, predicted, and gold."""
    return [
        LabelScore(
            label,
            right / said if said else 0.0,
            right / wanted if wanted else 0.0,
            2 * right / (said + wanted) if said + wanted else 0.0,
            wanted,
            thresholds[number] if len(thresholds) else None,
        )
        for number, (label, (right, said, wanted)) in enumerate(counts.items())
    ]
