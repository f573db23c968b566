"""A number for a text or a pair: similarity (STS-B), a rating on a scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from albert.data.examples import Example
from albert.errors import AlbertError, ErrorKind
from albert.tasks.base import Prediction, Task
from albert.tasks.metrics import regression_scores

MANY_VALUES = 20  # more distinct whole numbers than this are a scale, not labels


class Regression(Task):
    name = "regression"
    head = "sequence_classification"
    problem_type = "regression"
    metric = "correlation"

    def fits(self, values: Sequence[Any]) -> bool:
        try:
            numbers = {self.parse_gold(value) for value in values}
        except ValueError:
            return False
        return len(numbers) > MANY_VALUES or (len(numbers) > 2 and any(n != int(n) for n in numbers))

    def parse_gold(self, value: Any) -> float:
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

    def targets(self, examples: Sequence[Example], labels: Sequence[str]) -> np.ndarray:
        return np.asarray([example.gold for example in examples], np.float32)

    def loss(self, logits: Float[Tensor, "batch 1"], gold: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
        return ((logits.squeeze(1).float() - gold) ** 2).sum()

    def decode(self, logits: np.ndarray, labels: Sequence[str], *, top_k: int | None = 1) -> list[Prediction]:
        return [{"label": labels[0], "score": float(logits[0])}]

    def score(self, logits: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        return regression_scores(logits[:, 0], targets)

    def baseline(self, train: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> tuple[str, float]:
        return f"always the mean, {train.mean():.3g}", 0.0
