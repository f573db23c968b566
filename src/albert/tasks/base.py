"""What a task is: how gold values are read, which head stands on the encoder, loss, decoding, scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from albert.data.examples import Example
from albert.text.tokenizer import AlbertTokenizer, Encoding

Prediction = dict[str, Any]  # JSON-ready, with the keys of transformers' pipelines


class Task(ABC):
    """A family of tasks. Values, no state: one instance serves every data set.

    `metric` is the score that decides on the best checkpoint; higher is better.
    """

    name: ClassVar[str]
    head: ClassVar[str]
    problem_type: ClassVar[str]
    metric: ClassVar[str]
    stratified: ClassVar[bool] = False

    @abstractmethod
    def fits(self, values: Sequence[Any]) -> bool:
        """Whether a label column with these values looks like this task's; asked in the registry's order."""

    @abstractmethod
    def parse_gold(self, value: Any) -> Any:
        """A label as it stands in a file -> a gold value. Raises `ValueError` for one that is none."""

    @abstractmethod
    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        """The label strings in the order of the head's outputs. Raises `AlbertError` for unusable ones."""

    @abstractmethod
    def targets(self, examples: Sequence[Example], labels: Sequence[str]) -> np.ndarray:
        """Gold values as the loss reads them. Raises `AlbertError` for labels that training never saw."""

    @abstractmethod
    def loss(self, logits: Float[Tensor, "batch labels"], gold: Tensor) -> Float[Tensor, ""]:
        """The loss summed over what it is a mean of; the loop divides by the `count` of that."""

    def count(self, gold: Tensor) -> int:
        """How many values the loss is a mean of."""
        return len(gold)

    @abstractmethod
    def decode(self, logits: np.ndarray, labels: Sequence[str], *, top_k: int | None = 1) -> list[Prediction]:
        """One example's logits [labels] -> its predictions, best first; `top_k=None` gives all."""

    @abstractmethod
    def score(self, logits: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """All scores over a data set from logits [n, labels]; `metric` is one of them."""

    @abstractmethod
    def baseline(self, train: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> tuple[str, float]:
        """What answering without reading reaches, learned on `train`: in words, and on `metric`."""

    def encode(self, tokenizer: AlbertTokenizer, examples: Sequence[Example], *, max_length: int) -> list[Encoding]:
        """Model inputs, cut to `max_length`; `Encoding.cut` says by how much."""
        return tokenizer.encode_batch([example.texts for example in examples], max_length=max_length)
