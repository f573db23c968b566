"""One of several labels for a text or a pair: sentiment, topic, spam, intent, entailment, paraphrase."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from albert.data.batches import Features
from albert.data.examples import Columns, Example
from albert.data.reading import missing
from albert.errors import AlbertError, ErrorKind
from albert.tasks.base import DecodeOptions, Output, Prediction, Task
from albert.tasks.labels import require_known
from albert.tasks.losses import PLAIN, LossConfig, LossShape, balanced_weights, cross_entropy
from albert.tasks.metrics import classification_score, classification_scores, softmax
from albert.tasks.review import Review, Verdict, label_scores, mean_of

MAX_LABELS = 10_000
_TRIED = 201  # thresholds
_LEAST = 1e-9  # share of rows that is divided by


class Classification(Task):
    """One label per text. A `fallback` is also the answer if no label reaches a threshold, which is tuned on dev.

    `fallback_share` is the share of texts in use that fit no other label; None for that of dev.
    """

    name = "classification"
    head = "sequence_classification"
    problem_type = "single_label_classification"
    pipeline = "text-classification"
    metric = "accuracy"
    metrics = ("macro_f1", "mcc")
    stratified = True
    fallback: str | None = None
    fallback_share: float | None = None

    def falling_back_to(self, label: str | None, share: float | None = None) -> Task:
        if label is None:
            return self
        other = copy.copy(self)
        other.fallback, other.fallback_share = label, share
        return other

    def fits(self, values: Sequence[Any], columns: Columns | None = None) -> bool:
        return True  # any column of values can be a column of labels, so this task is asked last

    def parse_gold(self, value: Any, example: Example | None = None) -> str:
        return label_string(value)

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
        return tuple(sorted(counts, key=label_order))

    def targets(self, examples: Sequence[Example], features: Features, labels: Sequence[str]) -> np.ndarray:
        require_known(((example, example.gold) for example in examples), labels)
        return _ids(examples, labels)[features.owners]

    def loss(
        self, logits: Float[Tensor, "batch labels"], gold: Int[Tensor, " batch"], shape: LossShape = PLAIN
    ) -> Float[Tensor, ""]:
        return cross_entropy(logits, gold, shape)

    def shape_loss(self, config: LossConfig, examples: Sequence[Example], labels: Sequence[str]) -> LossShape:
        counts = np.bincount(_ids(examples, labels), minlength=len(labels))
        return LossShape(config, balanced_weights(counts) if config.class_weights == "balanced" else None)

    def decode(self, output: Output, labels: Sequence[str], options: DecodeOptions) -> list[Prediction]:
        probabilities = softmax(output.pooled)
        best = np.argsort(-probabilities, kind="stable")
        first = self._said(probabilities[None], labels, options.thresholds)[0]
        if first != best[0]:  # the fallback's score is the probability that all other labels are wrong
            probabilities[first] = 1 - probabilities[best[0]]
        best = np.concatenate([[first], best[best != first]])[: options.top_k]
        scores = output.pooled if options.raw_scores else probabilities
        return [{"label": labels[i], "score": float(scores[i])} for i in best]

    def tuned(self, labels: int) -> int:
        return labels if self.fallback is None else 1

    def tune(self, outputs: Sequence[Output], labels: Sequence[str]) -> tuple[float, ...]:
        """With a fallback, the probability that a label must have: the highest one that is about as good as the best.

        About as good: the rows that it loses are fewer than those that it wins and one standard error (McNemar 1947).
        With a `fallback_share`, the fallback's rows count as this share of all, and the best has the highest accuracy.
        """
        if self.fallback is None:
            return ()
        probabilities = softmax(np.stack([output.pooled for output in outputs]))
        gold = _ids([output.example for output in outputs], labels)
        fallback = labels.index(self.fallback)
        weights = self._weights(gold == fallback)
        surest = _others(probabilities, fallback).max(1)
        tried = np.unique(np.quantile(surest, np.linspace(0, 1, _TRIED)))
        said = [self._said(probabilities, labels, (limit,)) for limit in tried]
        right = np.stack(said) == gold
        scores = (
            right @ weights if self.fallback_share is not None
            else [classification_score(self.metric, one, gold, labels=len(labels)) for one in said]
        )  # fmt: skip
        best = right[int(np.argmax(scores))]
        lost, won = (best & ~right) @ weights, (right & ~best) @ weights
        noise = np.sqrt((best != right) @ weights**2)
        return (float(tried[(lost <= won) | (lost - won < noise)].max()),)

    def _weights(self, none_fits: Bool[np.ndarray, " texts"]) -> Float[np.ndarray, " texts"]:
        """The weights of rows, given which of them are the fallback's; 1 on average."""
        if self.fallback_share is None:
            return np.ones(len(none_fits))
        own = none_fits.mean()
        return np.where(
            none_fits, self.fallback_share / max(own, _LEAST), (1 - self.fallback_share) / max(1 - own, _LEAST)
        )

    def _said(
        self, probabilities: Float[np.ndarray, "texts labels"], labels: Sequence[str], thresholds: Sequence[float]
    ) -> Int[np.ndarray, " texts"]:
        """The label that each text gets."""
        best = probabilities.argmax(1)
        if self.fallback is None or not thresholds:
            return best
        fallback = labels.index(self.fallback)
        return np.where(_others(probabilities, fallback).max(1) < thresholds[0], fallback, best)

    def score(
        self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()
    ) -> dict[str, float]:
        probabilities = softmax(np.stack([output.pooled for output in outputs]))
        gold = _ids([output.example for output in outputs], labels)
        return classification_scores(self._said(probabilities, labels, thresholds), gold, labels=len(labels))

    def baseline(
        self, train: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
    ) -> tuple[str, float]:
        counts = Counter(example.gold for example in train)
        majority = max(labels, key=lambda label: counts[label])
        gold = _ids(examples, labels)
        said = np.full_like(gold, labels.index(majority))
        return f"always {majority!r}", classification_score(self.metric, said, gold, labels=len(labels))

    def review(self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()) -> Review:
        probabilities = softmax(np.stack([output.pooled for output in outputs]))
        gold = _ids([output.example for output in outputs], labels)
        said = self._said(probabilities, labels, thresholds)

        def measure(chosen: np.ndarray) -> float:
            return classification_score(self.metric, said[chosen], gold[chosen], labels=len(labels))

        verdicts = [
            Verdict(output.example, labels[right], labels[best], float(right != best), float(row[best]))
            for output, right, best, row in zip(outputs, gold, said, probabilities, strict=True)
        ]
        confusions = Counter((verdict.gold, verdict.said) for verdict in verdicts)
        return Review(
            verdicts,
            "1 where the label is wrong",
            mean_of(gold == said) if self.metric == "accuracy" else measure,
            label_scores(confusions, labels),
            confusions,
            probabilities,
            gold,
        )


def _ids(examples: Sequence[Example], labels: Sequence[str]) -> np.ndarray:
    ids = {label: index for index, label in enumerate(labels)}
    return np.asarray([ids[example.gold] for example in examples], np.int64)


def _others(probabilities: Float[np.ndarray, "texts labels"], left_out: int) -> Float[np.ndarray, "texts labels"]:
    """The probabilities with 0 for one label."""
    return np.where(np.arange(probabilities.shape[1]) == left_out, 0.0, probabilities)


def label_string(value: Any) -> str:
    """The string of a label as it stands in a file. Raises `ValueError` for a value that is not a label."""
    if missing(value, keep_na=True) or (isinstance(value, str) and not value.strip()):
        raise ValueError("no label")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        label = str(value).strip()
        if len(label) > 200:
            raise ValueError(f"label of {len(label)} characters: expected at most 200")
        return label
    several = "; --task multilabel takes several labels" if isinstance(value, list) else ""
    raise ValueError(f"label: expected a string or number, got {type(value).__name__}{several}")


def label_order(label: str) -> tuple[int, float, str]:
    """A sort key: numbers by value, then words alphabetically."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
