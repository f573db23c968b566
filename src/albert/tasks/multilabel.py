"""Several labels per text or pair: moderation, tags, overlapping topics."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from albert.data.batches import Features
from albert.data.cells import is_many_hot, list_in
from albert.data.examples import Columns, Example
from albert.tasks.base import DecodeOptions, Output, Prediction, Task
from albert.tasks.classification import MAX_LABELS, label_order, label_string
from albert.tasks.labels import require_count, require_known
from albert.tasks.losses import PLAIN, LossConfig, LossShape, binary_cross_entropy
from albert.tasks.metrics import best_threshold, multilabel_scores, sigmoid
from albert.tasks.review import NONE, Review, Verdict, counted_scores, micro_f1

_DEFAULT_THRESHOLD = 0.5


class MultiLabelClassification(Task):
    """Each label is a separate yes or no, with a threshold that is tuned on the dev part."""

    name = "multilabel"
    head = "sequence_classification"
    problem_type = "multi_label_classification"
    pipeline = "text-classification"
    metric = "micro_f1"
    plural = "labels"

    def fits(self, values: Sequence[Any], columns: Columns | None = None) -> bool:
        lists = [list_in(value) for value in values]
        return any(lists) and all(items is not None and all(map(_is_label, items)) for items in lists)

    def parse_gold(self, value: Any, example: Example | None = None) -> tuple[str, ...]:
        """A list of labels, a cell that spells one, or a string of labels with | ; or , between
        them. It may be empty.
        """
        return self.parser([value])(value, example)

    def parser(self, values: Sequence[Any]) -> Callable[[Any, Example | None], tuple[str, ...]]:
        """If all lists are zeros and ones of one length, each has one value per label, and labels are called by their
        positions.
        """
        lists = [items for value in values if (items := list_in(value)) is not None]
        if lists and all(map(is_many_hot, lists)) and len({len(items) for items in lists}) == 1:
            return functools.partial(_many_hot, len(lists[0]))
        return _several

    def remarks(self, examples: Sequence[Example], features: Features) -> list[str]:
        hot = next((example.gold.width for example in examples if isinstance(example.gold, ManyHot)), 0)
        return [f"labels are rows of {hot} zeros and ones, and called by their places, 0 to {hot - 1}"] if hot else []

    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        found = {label for example in examples for label in example.gold}
        require_count(found, MAX_LABELS, column=column, what="different labels")
        return tuple(sorted(found, key=label_order))

    def targets(self, examples: Sequence[Example], features: Features, labels: Sequence[str]) -> np.ndarray:
        require_known(((e, label) for e in examples for label in e.gold), labels)
        return _indicators(examples, labels)[features.owners]

    def loss(
        self, logits: Float[Tensor, "batch labels"], gold: Float[Tensor, "batch labels"], shape: LossShape = PLAIN
    ) -> Float[Tensor, ""]:
        return binary_cross_entropy(logits, gold, shape)

    def shape_loss(self, config: LossConfig, examples: Sequence[Example], labels: Sequence[str]) -> LossShape:
        """With balanced weights, a label's yes has as much weight as its no."""
        share = _indicators(examples, labels).mean(0).clip(min=1e-6)
        weights = torch.from_numpy((1 - share) / share) if config.class_weights == "balanced" else None
        return LossShape(config, weights)

    def count(self, gold: Tensor) -> int:
        return gold.numel()

    def decode(self, output: Output, labels: Sequence[str], options: DecodeOptions) -> list[Prediction]:
        """With `top_k` 1, the labels above their thresholds. Otherwise the `top_k` best labels, or all."""
        probabilities = sigmoid(output.pooled)
        order = np.argsort(-probabilities, kind="stable")
        if options.top_k == 1:
            order = order[(probabilities >= label_limits(options.thresholds, labels))[order]]
        else:
            order = order[: options.top_k]
        scores = output.pooled if options.raw_scores else probabilities
        return [{"label": labels[i], "score": float(scores[i])} for i in order]

    def tune(self, outputs: Sequence[Output], labels: Sequence[str]) -> tuple[float, ...]:
        """For each label the threshold with the best F1."""
        probabilities = sigmoid(np.stack([output.pooled for output in outputs]))
        gold = _indicators([output.example for output in outputs], labels) > 0
        return tuple(best_threshold(p, g) for p, g in zip(probabilities.T, gold.T, strict=True))

    def score(
        self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()
    ) -> dict[str, float]:
        probabilities = sigmoid(np.stack([output.pooled for output in outputs]))
        predicted = probabilities >= label_limits(thresholds, labels)
        return multilabel_scores(predicted, _indicators([output.example for output in outputs], labels) > 0)

    def baseline(
        self, train: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
    ) -> tuple[str, float]:
        counts = Counter(label for example in train for label in example.gold)
        best = max(labels, key=lambda label: counts[label])
        predicted = np.tile(np.asarray([label == best for label in labels]), (len(examples), 1))
        return f"always {best!r} alone", multilabel_scores(predicted, _indicators(examples, labels) > 0)[self.metric]

    def review(self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()) -> Review:
        examples = [output.example for output in outputs]
        probabilities = sigmoid(np.stack([output.pooled for output in outputs]))
        limits = label_limits(thresholds, labels)
        said, gold = probabilities >= limits, _indicators(examples, labels) > 0

        def words(row: np.ndarray) -> str:
            return ", ".join(labels[i] for i in np.flatnonzero(row).tolist()) or NONE

        verdicts = [
            Verdict(
                example, words(right), words(row), float((row != right).sum()), _surest_mistake(chances, row, right)
            )
            for example, right, row, chances in zip(examples, gold, said, probabilities, strict=True)
        ]
        counts = np.stack([(said & gold).sum(0), said.sum(0), gold.sum(0)], 1).tolist()
        return Review(
            verdicts,
            "the number of wrong labels",
            micro_f1((said & gold).sum(1), said.sum(1), gold.sum(1)),
            counted_scores(dict(zip(labels, map(tuple, counts), strict=True)), limits.tolist()),
        )


class ManyHot(tuple[str, ...]):
    """Labels by their positions in a row of zeros and ones."""

    width: int = 0  # the length of a row


def _many_hot(count: int, value: Any, example: Example | None = None) -> ManyHot:
    items = list_in(value)
    if items is None or len(items) != count or not is_many_hot(items):
        raise ValueError(f"label: expected {count} zeros and ones, as in the other rows, got {str(value)[:60]!r}")
    labels = ManyHot(str(place) for place, item in enumerate(items) if item)
    labels.width = count
    return labels


def _several(value: Any, example: Example | None = None) -> tuple[str, ...]:
    items = list_in(value)
    if items is None and isinstance(value, str):
        items = _divided(value)
    if items is None:
        raise ValueError(f"label: expected a list of labels, got {type(value).__name__}")
    labels = list(map(_label, items))
    if all(isinstance(item, (int, float)) for item in items) and len(set(labels)) < len(labels):
        raise ValueError(f"label: {str(value)[:60]}: expected different numbers, or zeros and ones alike in all rows")
    return tuple(dict.fromkeys(labels))


def _divided(cell: str) -> list[str]:
    """The parts of a cell between | ; or , with or without brackets. Raises `ValueError` for an incomplete list."""
    inner = cell.strip()
    closing = {"[": "]", "{": "}"}.get(inner[:1])
    quoted = inner[:2] in ('"[', "'[", '"{', "'{")  # as in TSV that was written with quotes
    if quoted or (closing and (closing not in inner or re.match(r"""[\[{]\s*['"\[{]""", inner))):
        raise ValueError(f"label: expected a list as JSON or Python writes it, got {cell[:60]!r}")
    inner = inner[1:-1] if closing and inner.endswith(closing) else inner
    return [part for part in re.split(r"[|;,]", inner) if part.strip()]


def _is_label(item: Any) -> bool:
    """Whether an item of a list can be a label: a word, a whole number, or one of our own predictions."""
    if isinstance(item, dict):
        return isinstance(item.get("label"), str)
    return isinstance(item, (str, int)) or (isinstance(item, float) and item.is_integer())


def _label(item: Any) -> str:
    if isinstance(item, dict):
        item = item.get("label")
    if isinstance(item, float) and item.is_integer():
        item = int(item)
    return label_string(item)


def label_limits(thresholds: Sequence[float], labels: Sequence[str]) -> np.ndarray:
    """The probability from which each label is given: tuned, or the default."""
    return np.asarray(thresholds if len(thresholds) else [_DEFAULT_THRESHOLD] * len(labels))


def _surest_mistake(probabilities: np.ndarray, said: np.ndarray, gold: np.ndarray) -> float | None:
    """The confidence of the wrong decision that the model was most certain of."""
    chances = np.where(said, probabilities, 1 - probabilities)[said != gold]
    return float(chances.max()) if len(chances) else None


def _indicators(examples: Sequence[Example], labels: Sequence[str]) -> np.ndarray:
    """[examples, labels]: 1 where an example has the label."""
    ids = {label: index for index, label in enumerate(labels)}
    table = np.zeros((len(examples), len(labels)), np.float32)
    for row, example in enumerate(examples):
        table[row, [ids[label] for label in example.gold]] = 1
    return table
