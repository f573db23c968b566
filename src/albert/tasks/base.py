"""The parts of a task: reading gold values, the head on the encoder, the loss, decoding, scores."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float
from torch import Tensor

from albert.data.batches import Features, Gold
from albert.data.examples import Columns, Example
from albert.errors import AlbertError, ErrorKind, require_whole
from albert.generation.options import GREEDY, GenerationOptions
from albert.tasks.losses import PLAIN, LossConfig, LossShape
from albert.tasks.review import Review
from albert.text.encodings import Encoding, Tokenizer

Prediction = dict[str, Any]  # JSON-ready, with the keys of transformers' pipelines
AGGREGATIONS = ("none", "simple", "first", "average", "max")
MAX_LENGTH = 65_536  # the most pieces that a model reads at once; no answer is longer
_MOST = 1_000_000  # the most labels or answers that can be asked for
_PORTION = 1024  # examples encoded in one portion


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """Options for predictions; each task reads those that concern it.

    - `top_k`: how many labels or answers, from 1; None for all.
    - `aggregation`: how pieces become entities, one of `AGGREGATIONS`, as transformers' `aggregation_strategy`.
    - `max_answer`: the longest answer in pieces, from 1.
    - `no_answer`: whether "" is an answer; None for as trained.
    - `raw_scores`: logits in place of probabilities, for labels and numbers.
    - `thresholds`: what the task's `tune` found.
    - `generation`: how texts are written.

    Raises `AlbertError` (usage) for values out of range.
    """

    top_k: int | None = 1
    aggregation: str = "first"
    max_answer: int = 30
    no_answer: bool | None = None
    raw_scores: bool = False
    thresholds: tuple[float, ...] = ()
    generation: GenerationOptions = GREEDY

    def __post_init__(self) -> None:
        if self.aggregation not in AGGREGATIONS:
            known = ", ".join(AGGREGATIONS)
            raise AlbertError(ErrorKind.USAGE, "aggregation", expected=f"one of {known}", got=repr(self.aggregation))
        require_whole(self, ("max_answer", 1, MAX_LENGTH))
        if self.top_k is not None:
            require_whole(self, ("top_k", 1, _MOST))


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How many pieces a model reads at once, and how longer texts are handled.

    With a `stride`, they are divided into windows, and neighbouring windows share `stride` pieces. Without one, they
    are cut.
    """

    max_length: int = 128
    stride: int | None = None

    def __post_init__(self) -> None:
        require_whole(self, ("max_length", 3, MAX_LENGTH))
        if self.stride is not None:
            require_whole(self, ("stride", 0, self.max_length - 3))

    def adjusted(self, max_length: int | None, stride: int | None) -> Lengths:
        """These lengths with the given values in their place. The stride shrinks with the length."""
        length = self.max_length if max_length is None else max_length
        if stride is None and self.stride is not None:
            stride = min(self.stride, length // 3)
        return Lengths(max_length=length, stride=stride)

    def fate(self) -> str:
        """How longer texts are handled, in words."""
        return "cut" if self.stride is None else f"read in windows that share {self.stride}"

    def rule(self) -> str:
        """`fate` as a clause that stands alone."""
        return f"texts beyond {self.max_length} pieces are {self.fate()}"


Sources = tuple[tuple[int, int, float], ...]  # start and end in the source, and the share of attention; the most first


@dataclass(frozen=True)
class Written:
    """A text that a model wrote: how likely it is, also piece by piece, and whether a limit on length `cut` it."""

    text: str
    score: float
    pieces: tuple[tuple[str, float], ...] = ()
    cut: bool = False
    sources: tuple[Sources, ...] = ()  # of each piece, where asked for


@dataclass(frozen=True)
class Output:
    """The head's output for each row of an example, and the places of the rows' pieces if the task `points`.

    For a network that writes texts, the texts stand in place of logits, best first.
    """

    example: Example
    logits: list[np.ndarray]  # a row: [labels], or [pieces, labels]
    offsets: list[np.ndarray] = field(default_factory=list)  # a row: [pieces, 2]
    written: tuple[Written, ...] = ()

    @property
    def pooled(self) -> np.ndarray:
        """The mean over the windows of a long text, [labels], with equal weights."""
        return np.mean(self.logits, axis=0)

    @classmethod
    def each(cls, examples: Sequence[Example], features: Features, logits: Sequence[np.ndarray]) -> list[Output]:
        """The examples, each with the features and logits of its rows."""
        bounds = features.example_bounds()
        return [
            cls(
                example,
                list(logits[first:after]),
                [] if features.offsets is None else [features.offsets_of(row) for row in range(first, after)],
            )
            for example, first, after in zip(examples, bounds[:-1], bounds[1:], strict=True)
        ]


class Task(ABC):
    """A family of tasks. It has values and no state, so one instance serves every data set.

    `metric` is the score that chooses the best checkpoint; higher is better. `metrics` are the alternatives. `points`:
    predictions are places in the text. `placed`: encodings hold the places of pieces, as they do for such. `plural`:
    the name of the predictions if an example may have none or several; otherwise `answer` is the key of the best one.
    `grouped`: an example's rows share one loss. `case_matters`: capital letters say much about the answer. `lengths`
    are the defaults of training. `pipeline` is transformers' name for the family.
    """

    name: ClassVar[str]
    head: ClassVar[str]
    problem_type: ClassVar[str | None] = None
    pipeline: ClassVar[str]
    metric: str
    metrics: ClassVar[tuple[str, ...]] = ()  # in addition to `metric`
    stratified: ClassVar[bool] = False
    points: ClassVar[bool] = False
    placed: bool = False
    plural: ClassVar[str | None] = None
    answer: ClassVar[str] = "label"
    grouped: ClassVar[bool] = False
    case_matters: ClassVar[bool] = False
    lengths: ClassVar[Lengths] = Lengths()

    @abstractmethod
    def fits(self, values: Sequence[Any], columns: Columns | None = None) -> bool:
        """Whether a label column with these values may belong to this task. Tasks are asked in the registry's order."""

    @abstractmethod
    def parse_gold(self, value: Any, example: Example | None = None) -> Any:
        """The gold value of a label as it stands in a file, checked against its row's example if that is given.

        Raises `ValueError` for a label that is not valid.
        """

    def parser(self, values: Sequence[Any]) -> Callable[[Any, Example | None], Any]:
        """The function that reads a file's labels, given its first values: `parse_gold`, unless the values decide
        otherwise.
        """
        return self.parse_gold

    @abstractmethod
    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        """The label strings in the order of the head's outputs. Raises `AlbertError` for labels
        that cannot be learned.
        """

    @abstractmethod
    def targets(self, examples: Sequence[Example], features: Features, labels: Sequence[str]) -> Gold:
        """Gold values as the loss reads them, row by row. Raises `AlbertError` for labels that
        training did not have.
        """

    def measured_by(self, metric: str | None) -> Task:
        """This task with another of its scores as `metric`. Raises `AlbertError` (usage) for a score that it does not
        have.
        """
        if metric is None or metric == self.metric:
            return self
        if metric not in self.metrics:
            raise AlbertError(
                ErrorKind.USAGE,
                f"--metric for task {self.name}",
                expected=", ".join(sorted({self.metric, *self.metrics})),
                got=metric,
            )
        other = copy.copy(self)
        other.metric = metric
        return other

    @property
    def _offsets(self) -> bool:
        """Whether encodings hold the places of pieces."""
        return self.points or self.placed

    def with_places(self) -> Self:
        """This task, whose encodings hold the places of pieces in their texts."""
        other = copy.copy(self)
        other.placed = True
        return other

    def falling_back_to(self, label: str | None, share: float | None = None) -> Task:
        """This task with a label for texts that fit no other label, and the share of such texts in use; None for that
        of the data. Raises `AlbertError` (usage) for tasks that cannot have one.
        """
        if label is None:
            return self
        raise AlbertError(ErrorKind.USAGE, "--fallback", expected="a task with one label a text", got=self.name)

    def remarks(self, examples: Sequence[Example], features: Features) -> list[str]:
        """What these examples' gold values lose on their way to the model, in words."""
        return []

    @abstractmethod
    def loss(self, logits: Float[Tensor, "batch ..."], gold: Tensor, shape: LossShape = PLAIN) -> Float[Tensor, ""]:
        """The loss as a sum. The loop divides by `count`."""

    def shape_loss(self, config: LossConfig, examples: Sequence[Example], labels: Sequence[str]) -> LossShape:
        """The loss with the options of `config` for these training rows. Raises `AlbertError` for a task without
        options.
        """
        if config == LossConfig():
            return PLAIN
        raise AlbertError(
            ErrorKind.CONFIG,
            "class_weights, label_smoothing, focal",
            expected="a task whose labels are single or several",
            got=self.name,
        )

    def count(self, gold: Tensor) -> int:
        """The number of values over which the loss is averaged."""
        return len(gold)

    @abstractmethod
    def decode(self, output: Output, labels: Sequence[str], options: DecodeOptions) -> list[Prediction]:
        """One example's predictions, best first or in the order of the text."""

    def tune(self, outputs: Sequence[Output], labels: Sequence[str]) -> tuple[float, ...]:
        """The thresholds of decisions that score best on these outputs; none if there is nothing to decide. Entities
        have steps between tags in their place.
        """
        return ()

    def tuned(self, labels: int) -> int:
        """How many numbers `tune` gives for this many labels, if any."""
        return labels

    @abstractmethod
    def score(
        self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()
    ) -> dict[str, float]:
        """All scores over a data set, with `metric` among them. `thresholds` are those of `tune`, if any."""

    @abstractmethod
    def baseline(
        self, train: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
    ) -> tuple[str, float]:
        """The score of answering without reading the text, learned on `train`: a description, and the value of
        `metric`.
        """

    @abstractmethod
    def review(self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()) -> Review:
        """What `score` measures, example by example and label by label."""

    def encode(self, tokenizer: Tokenizer, examples: Sequence[Example], lengths: Lengths) -> list[list[Encoding]]:
        """The rows of each example. `Encoding.cut` is how many pieces they left out."""
        texts = [example.texts for example in examples]
        if lengths.stride is None:
            rows = tokenizer.encode_batch(texts, max_length=lengths.max_length, offsets=self._offsets)
            return [[row] for row in rows]
        return tokenizer.windows(texts, max_length=lengths.max_length, stride=lengths.stride, offsets=self._offsets)

    def features(self, tokenizer: Tokenizer, examples: Sequence[Example], lengths: Lengths) -> tuple[Features, int]:
        """All examples encoded, in portions to save memory, and how many of them were cut."""
        owners: list[int] = []
        cut = 0

        def encodings() -> Iterator[Encoding]:
            nonlocal cut
            for start in range(0, len(examples), _PORTION):
                portion = self.encode(tokenizer, examples[start : start + _PORTION], lengths)
                for owner, rows in enumerate(portion, start):
                    cut += any(row.cut for row in rows)
                    owners.extend([owner] * len(rows))
                    yield from rows

        features = Features.build(encodings(), offsets=self._offsets, owners=owners, grouped=self.grouped)
        return features, cut
