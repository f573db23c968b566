"""A number for a text or a pair: similarity (STS-B), a rating on a scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from albert.data.batches import Features
from albert.data.examples import Columns, Example
from albert.errors import AlbertError, ErrorKind
from albert.tasks.base import DecodeOptions, Output, Prediction, Task
from albert.tasks.losses import PLAIN, LossShape
from albert.tasks.metrics import regression_scores
from albert.tasks.review import Review, Verdict

_MOSTLY = 0.9
MANY_VALUES = 20  # more different whole numbers than this are a scale, not labels


class Regression(Task):
    """A number for a text or a pair."""

    name = "regression"
    head = "sequence_classification"
    problem_type: ClassVar[str | None] = "regression"
    pipeline = "text-classification"
    metric = "correlation"

    def fits(self, values: Sequence[Any], columns: Columns | None = None) -> bool:
        """Many different numbers, or fractions. One value in ten may be no number; reading then refuses those rows."""
        found = [number for value in values if (number := self._number(value)) is not None]
        numbers = set(found)
        if len(numbers) > 2 and any(n != int(n) for n in numbers):
            return len(found) >= _MOSTLY * len(values)
        return len(numbers) > MANY_VALUES and len(found) == len(values)

    def _number(self, value: Any) -> float | None:
        try:
            return self.parse_gold(value)
        except ValueError:
            return None

    def parse_gold(self, value: Any, example: Example | None = None) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"label: expected a number, got {str(value)[:50]!r}") from None
        if not math.isfinite(number):
            raise ValueError(f"label: expected a finite number, got {value!r}")
        return number

    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        if len({example.gold for example in examples}) < 2:
            raise AlbertError(
                ErrorKind.DATA, f"label column {column!r}", expected="different numbers", got="one value only"
            )
        return (column,)

    def targets(self, examples: Sequence[Example], features: Features, labels: Sequence[str]) -> np.ndarray:
        return _numbers(examples)[features.owners]

    def loss(
        self, logits: Float[Tensor, "batch 1"], gold: Float[Tensor, " batch"], shape: LossShape = PLAIN
    ) -> Float[Tensor, ""]:
        return ((logits.squeeze(1).float() - gold) ** 2).sum()

    def decode(self, output: Output, labels: Sequence[str], options: DecodeOptions) -> list[Prediction]:
        score = float(output.pooled[0]) if options.raw_scores else self.number(output)
        return [{"label": labels[0], "score": score}]

    def number(self, output: Output) -> float:
        """The predicted number of an example."""
        return float(output.pooled[0])

    def score(
        self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()
    ) -> dict[str, float]:
        return regression_scores(self._said(outputs), _numbers([output.example for output in outputs]))

    def baseline(
        self, train: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
    ) -> tuple[str, float]:
        return f"always the mean, {_numbers(train).mean():.3g}", 0.0

    def review(self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()) -> Review:
        said = self._said(outputs)
        gold = _numbers([output.example for output in outputs])
        verdicts = [
            Verdict(output.example, f"{right:.4g}", f"{number:.4g}", abs(float(number) - float(right)))
            for output, right, number in zip(outputs, gold, said, strict=True)
        ]
        return Review(
            verdicts,
            "the distance from the gold number",
            lambda chosen: regression_scores(said[chosen], gold[chosen])[self.metric],
            numbers=np.stack([gold, said], 1),
        )

    def _said(self, outputs: Sequence[Output]) -> np.ndarray:
        return np.asarray([self.number(output) for output in outputs], np.float32)


def _numbers(examples: Sequence[Example]) -> np.ndarray:
    return np.asarray([example.gold for example in examples], np.float32)
