"""What a model is worth: intervals, calibration, GLUE's tables and behaviour; functions of predictions and gold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

# A list of inputs -> for each its labels with scores, or its answers, best first: a Predictor's
# `predictor(inputs, top_k=None)`.
Predict = Callable[[list[Any]], Sequence[Sequence[dict[str, Any]]]]
