"""One of several labels for a text or a pair: sentiment, topic, spam, intent, entailment, paraphrase."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.data.examples import Example
from albert.data.sources import Problems
from albert.errors import AlbertError, ErrorKind
from albert.tasks.base import Prediction, Task
from albert.tasks.metrics import classification_scores

MAX_LABELS = 10_000


class Classification(Task):
    name = "classification"
    head = "sequence_classification"
    problem_type = "single_label_classification"
    metric = "accuracy"
    stratified = True

    def fits(self, values: Sequence[Any]) -> bool:
        return True  # any column of values can be a column of labels: the last one asked

    def parse_gold(self, value: Any) -> str:
        if value is None or (isinstance(value, str) and not value.strip()):
            raise ValueError("no label")
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, (str, int, float)):
            label = str(value).strip()
            if len(label) > 200:
                raise ValueError(f"label of {len(label)} characters: expected at most 200")
            return label
        raise ValueError(f"label: expected a string or number, got {type(value).__name__}")

    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        counts = Counter(example.gold for example in examples)
        if not 2 <= len(counts) <= MAX_LABELS:
            raise AlbertError(
                ErrorKind.DATA,
                f"label column {column!r}",
                expected="at least two labels" if len(counts) < 2 else f"at most {MAX_LABELS:,} labels",
                got=f"one class, {next(iter(counts))!r}" if len(counts) == 1 else f"{len(counts):,} labels",
                hint="check that this is the column you mean; --label COLUMN names another",
            )
        return tuple(sorted(counts, key=_label_order))

    def targets(self, examples: Sequence[Example], labels: Sequence[str]) -> np.ndarray:
        ids = {label: index for index, label in enumerate(labels)}
        unknown = [example for example in examples if example.gold not in ids]
        if unknown:
            path = unknown[0].source.rsplit(":", 1)[0]
            problems = Problems(path)
            for example in unknown:
                near = difflib.get_close_matches(example.gold, labels, n=1)
                problems.add(
                    int(example.source.rsplit(":", 1)[-1]),
                    f"label {example.gold!r} is not in the training data",
                    expected="one of " + ", ".join(labels[:10]) + (", …" if len(labels) > 10 else ""),
                    got=f"{example.gold!r}" + (f" (did you mean {near[0]!r}?)" if near else ""),
                )
            problems.raise_if_any()
        return np.asarray([ids[example.gold] for example in examples], np.int64)

    def loss(self, logits: Float[Tensor, "batch labels"], gold: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        return torch.nn.functional.cross_entropy(logits.float(), gold, reduction="sum")

    def decode(self, logits: np.ndarray, labels: Sequence[str], *, top_k: int | None = 1) -> list[Prediction]:
        exponentials = np.exp(logits - logits.max())
        probabilities = exponentials / exponentials.sum()
        best = np.argsort(-probabilities, kind="stable")[:top_k]
        return [{"label": labels[i], "score": float(probabilities[i])} for i in best]

    def score(self, logits: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        return classification_scores(logits.argmax(1), targets, labels=logits.shape[1])

    def baseline(self, train: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> tuple[str, float]:
        majority = int(np.bincount(train, minlength=len(labels)).argmax())
        return f"always {labels[majority]!r}", float((targets == majority).mean())


def _label_order(label: str) -> tuple[int, float, str]:
    """Numbers by value, then words by letter."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
