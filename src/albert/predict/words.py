"""A linear model on words beside the head: it adds its logits, or answers alone where it is sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.data.examples import Example
from albert.engine.early_exit import sureness
from albert.errors import AlbertError, ErrorKind
from albert.linear import LinearModel
from albert.tasks.base import Output, Task
from albert.tasks.stored import StoredCascade, StoredHybrid, StoredTask
from albert.text.encodings import Tokenizer
from albert.text.hardening.hardener import Hardener

if TYPE_CHECKING:
    from albert.predict.predictor import Predictor


@dataclass(frozen=True)
class Read:
    """Examples that the linear model has read: its logits, and which of them it answers alone."""

    words: Words
    examples: Sequence[Example]
    logits: np.ndarray  # [examples, labels]
    sure: np.ndarray  # [examples]

    @property
    def rest(self) -> list[Example]:
        """The examples that the network reads."""
        return [example for example, sure in zip(self.examples, self.sure, strict=True) if not sure]

    def joined(self, outputs: Sequence[Output]) -> list[Output]:
        """The outputs of all examples, from those of `rest`."""
        waiting = iter(outputs)
        return [
            self.words.alone(example, logits) if sure else self.words.beside(next(waiting), logits)
            for example, logits, sure in zip(self.examples, self.logits, self.sure.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class Words:
    """A linear model and how it is used: as `hybrid`, as `cascade`, or both. It reads texts `harden`ed, if they are."""

    model: LinearModel
    problem_type: str | None
    harden: Hardener | None = None
    hybrid: StoredHybrid | None = None
    cascade: StoredCascade | None = None

    @classmethod
    def load(
        cls, folder: Path, stored: StoredTask, task: Task, config: AlbertConfig, tokenizer: Tokenizer, *, cascade: bool
    ) -> Words | None:
        """That of a model folder, None without one. Raises `AlbertError` (bad-model) for a file that does not fit."""
        if stored.hybrid is None and stored.cascade is None:
            return None
        require_words(task, f"{folder / 'config.json'}: hybrid, cascade", ErrorKind.MODEL)
        if stored.hybrid is None and not cascade:
            return None
        pairs = stored.columns is not None and stored.columns.text_pair is not None
        model = LinearModel.load(folder, outputs=max(config.num_labels, 1), pairs=pairs)
        return cls(model, task.problem_type, hardener_of(tokenizer), stored.hybrid, stored.cascade if cascade else None)

    def logits(self, examples: Sequence[Example]) -> np.ndarray:
        """The linear model's logits, [examples, labels]."""
        return self.model.logits(hardened(examples, self.harden))

    def read(self, examples: Sequence[Example]) -> Read:
        """The linear model's logits for the examples, and which of them it answers alone."""
        logits = self.logits(examples)
        sure = np.zeros(len(examples), bool)
        if self.cascade is not None and len(examples):
            sure = certainty(logits, self.cascade.words, self.problem_type) >= self.cascade.threshold
        return Read(self, examples, logits, sure)

    def alone(self, example: Example, logits: np.ndarray) -> Output:
        """The answer without the network."""
        assert self.cascade is not None
        return Output(example, [logits * np.float32(self.cascade.words)])

    def beside(self, output: Output, logits: np.ndarray) -> Output:
        """The network's answer with that of the words, if they are joined."""
        if self.hybrid is None:
            return output
        own = self.hybrid
        added = (own.words * logits + own.shift).astype(np.float32)
        return replace(output, logits=[np.float32(own.head) * row + added for row in output.logits])


def hardener_of(tokenizer: Tokenizer) -> Hardener | None:
    """What makes hostile text readable, as the tokenizer does it."""
    if tokenizer.hardening is None:
        return None
    return Hardener(tokenizer.hardening, spell=tokenizer.spelling)


def hardened(examples: Sequence[Example], harden: Hardener | None) -> Sequence[Example]:
    """The examples with their texts as the network reads them."""
    if harden is None:
        return examples
    return [
        replace(each, text=harden.text(each.text), text_pair=each.text_pair and harden.text(each.text_pair))
        for each in examples
    ]


def certainty(logits: np.ndarray, factor: float, problem_type: str | None) -> np.ndarray:
    """How sure each row of the linear model's logits is; in float64, as those of float32 would soon all be 1."""
    scaled = logits.astype(np.float64) * factor
    return sureness(scaled, scaled, problem_type)


def computed(
    predictor: Predictor, examples: Sequence[Example], features: Features
) -> tuple[list[Output], tuple[str, ...]]:
    """The outputs for encoded examples, and remarks on early exit and on texts that the linear model answered alone."""
    read = None if predictor.words is None else predictor.words.read(examples)
    told: tuple[str, ...] = ()
    rest = list(examples)
    if read is not None and read.sure.any():
        told = (f"cascade: words alone answered {read.sure.mean():.1%} of the texts",)
        rest = read.rest
        features = predictor.features(rest)[0]
    outputs: list[Output] = []
    if rest:
        found = predictor.engine.exits(features)
        outputs = Output.each(rest, features, found.logits)
        if predictor.engine.early is not None:
            depths = predictor.model.config.num_hidden_layers
            told += (f"early exit: texts left at depth {found.depths.mean():.2f} of {depths} on average",)
    return outputs if read is None else read.joined(outputs), told


def require_words(task: Task, what: str, kind: ErrorKind = ErrorKind.USAGE) -> None:
    """Raises `AlbertError` for a task without labels or numbers for whole texts."""
    if task.pipeline != "text-classification":
        raise AlbertError(kind, what, expected="labels or numbers to learn", got=f"task {task.name}")
