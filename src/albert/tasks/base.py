"""What a task is: how gold values are read, which head stands on the encoder, loss, decoding, scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from albert.data.batches import Features, Gold
from albert.data.examples import Example
from albert.errors import AlbertError, ErrorKind
from albert.text.tokenizer import AlbertTokenizer, Encoding

Prediction = dict[str, Any]  # JSON-ready, with the keys of transformers' pipelines
AGGREGATIONS = ("none", "simple", "first", "average", "max")
_PORTION = 1024  # examples whose encodings are in memory at a time


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How predictions are wanted; each task reads what concerns it.

    `top_k`: how many labels, None for all. `aggregation`: how pieces become entities, as transformers'
    `aggregation_strategy`; one of `AGGREGATIONS`.
    """

    top_k: int | None = 1
    aggregation: str = "first"

    def __post_init__(self) -> None:
        if self.aggregation not in AGGREGATIONS:
            known = ", ".join(AGGREGATIONS)
            raise AlbertError(ErrorKind.USAGE, "aggregation", expected=f"one of {known}", got=repr(self.aggregation))


@dataclass(frozen=True)
class Output:
    """What the head said about one example, and where the example's pieces stand if the task `points`."""

    example: Example
    logits: np.ndarray  # [labels], or [pieces, labels]
    offsets: np.ndarray | None = None  # [pieces, 2]

    @classmethod
    def each(cls, examples: Sequence[Example], features: Features, logits: Sequence[np.ndarray]) -> list[Output]:
        """The examples, their features and their logits, one by one."""
        return [
            cls(example, row, None if features.offsets is None else features.offsets_of(index))
            for index, (example, row) in enumerate(zip(examples, logits, strict=True))
        ]


class Task(ABC):
    """A family of tasks. Values, no state: one instance serves every data set.

    `metric` is the score that decides on the best checkpoint; higher is better. `points`: predictions stand at
    places in the text. `plural`: what predictions are called where an example may have none or many.
    `pipeline` is transformers' name for the family.
    """

    name: ClassVar[str]
    head: ClassVar[str]
    problem_type: ClassVar[str]
    pipeline: ClassVar[str]
    metric: ClassVar[str]
    stratified: ClassVar[bool] = False
    points: ClassVar[bool] = False
    plural: ClassVar[str | None] = None

    @abstractmethod
    def fits(self, values: Sequence[Any]) -> bool:
        """Whether a label column with these values looks like this task's; asked in the registry's order."""

    @abstractmethod
    def parse_gold(self, value: Any, texts: Sequence[str] = ()) -> Any:
        """A label as it stands in a file -> a gold value, checked against its row's texts where they are given.

        Raises `ValueError` for one that is none.
        """

    @abstractmethod
    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        """The label strings in the order of the head's outputs. Raises `AlbertError` for unusable ones."""

    @abstractmethod
    def targets(self, examples: Sequence[Example], features: Features, labels: Sequence[str]) -> Gold:
        """Gold values as the loss reads them. Raises `AlbertError` for labels that training never saw."""

    def remarks(self, examples: Sequence[Example], features: Features) -> list[str]:
        """What these examples' gold values lose on their way to the model, in words."""
        return []

    @abstractmethod
    def loss(self, logits: Float[Tensor, "batch ..."], gold: Tensor) -> Float[Tensor, ""]:
        """The loss summed over what it is a mean of; the loop divides by the `count` of that."""

    def count(self, gold: Tensor) -> int:
        """How many values the loss is a mean of."""
        return len(gold)

    @abstractmethod
    def decode(self, output: Output, labels: Sequence[str], options: DecodeOptions) -> list[Prediction]:
        """One example's predictions, best first or in the order of the text."""

    @abstractmethod
    def score(self, outputs: Sequence[Output], labels: Sequence[str]) -> dict[str, float]:
        """All scores over a data set; `metric` is one of them."""

    @abstractmethod
    def baseline(
        self, train: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
    ) -> tuple[str, float]:
        """What answering without reading reaches, learned on `train`: in words, and on `metric`."""

    def encode(self, tokenizer: AlbertTokenizer, examples: Sequence[Example], *, max_length: int) -> list[Encoding]:
        """Model inputs, cut to `max_length`; `Encoding.cut` says by how much."""
        return tokenizer.encode_batch([example.texts for example in examples], max_length=max_length)

    def features(
        self, tokenizer: AlbertTokenizer, examples: Sequence[Example], *, max_length: int
    ) -> tuple[Features, int]:
        """All examples encoded, in portions to keep memory low, and how many of them were cut."""
        cut = 0

        def encodings() -> Iterator[Encoding]:
            nonlocal cut
            for start in range(0, len(examples), _PORTION):
                for encoding in self.encode(tokenizer, examples[start : start + _PORTION], max_length=max_length):
                    cut += encoding.cut > 0
                    yield encoding

        return Features.build(encodings(), offsets=self.points), cut
