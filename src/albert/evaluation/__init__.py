"""Evaluation beyond a task's own scores: GLUE, SQuAD and RACE files, behavioural tests, attacks, likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

# A list of inputs -> for each its labels with scores, or its answers, best first, as from a Predictor's
# `predictor(inputs, top_k=None)`.
Predict = Callable[[list[Any]], Sequence[Sequence[dict[str, Any]]]]
