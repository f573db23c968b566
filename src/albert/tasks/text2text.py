"""A text for a text: translation, summary, normalisation, any rewriting that examples show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from albert.data.batches import Features
from albert.data.examples import Columns, Example
from albert.errors import AlbertError, ErrorKind
from albert.tasks import text_metrics
from albert.tasks.base import DecodeOptions, Lengths, Output, Prediction, Task, Written
from albert.tasks.losses import PLAIN, LossConfig, LossShape, cross_entropy
from albert.tasks.review import Review, Verdict


class Text2Text(Task):
    """A network with a decoder writes the targets. Gold is a tuple of references; matching one of them is enough.

    A row's loss is over its target's pieces and the end piece behind them.
    """

    name = "text2text"
    head = "text2text"
    pipeline = "text2text-generation"
    metric = "chrf"
    metrics = ("bleu", "rouge_l", "exact_match")
    answer = "text"
    lengths: ClassVar[Lengths] = Lengths(max_length=512)

    def fits(self, values: Sequence[Any], columns: Columns | None = None) -> bool:
        return False  # any column of texts could be one of targets: it has to be asked for

    def parse_gold(self, value: Any, example: Example | None = None) -> tuple[str, ...]:
        """A text, or a list of texts that are all right."""
        texts = [value] if isinstance(value, (str, int, float)) and not isinstance(value, bool) else value
        if not isinstance(texts, (list, tuple)) or not texts:
            raise ValueError(f"target: expected a text, or a list of texts, got {str(value)[:50]!r}")
        if not all(isinstance(text, (str, int, float)) and str(text).strip() for text in texts):
            raise ValueError(f"target: expected texts, got {str(value)[:50]!r}")
        return tuple(map(str, texts))

    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        return ()

    def targets(self, examples: Sequence[Example], features: Features, labels: Sequence[str]) -> np.ndarray:
        """The number of each row's example: references are compared as texts."""
        return features.owners

    def loss(
        self, logits: Float[Tensor, "pieces vocab"], gold: Int[Tensor, " pieces"], shape: LossShape = PLAIN
    ) -> Float[Tensor, ""]:
        return cross_entropy(logits, gold, shape)

    def shape_loss(self, config: LossConfig, examples: Sequence[Example], labels: Sequence[str]) -> LossShape:
        if config.class_weights != "none":
            raise AlbertError(ErrorKind.CONFIG, "class_weights", expected="a task with labels", got=self.name)
        return LossShape(config)

    def decode(self, output: Output, labels: Sequence[str], options: DecodeOptions) -> list[Prediction]:
        """The texts, the best first, none of them twice."""
        different = {one.text: one for one in reversed(output.written)}
        best = [one for one in output.written if different[one.text] is one][: options.top_k]
        return [_prediction(one, token_scores=options.generation.token_scores) for one in best]

    def score(
        self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()
    ) -> dict[str, float]:
        """The deciding metric, and the others whose libraries are installed."""
        text_metrics.require_library(self.metric)
        return _scores(_said(outputs), [output.example.gold for output in outputs], text_metrics.installed())

    def baseline(
        self, train: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
    ) -> tuple[str, float]:
        text_metrics.require_library(self.metric)
        found = _scores([one.text for one in examples], [one.gold for one in examples], [self.metric])
        return "the source as it is", found[self.metric]

    def review(self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()) -> Review:
        said, references = _said(outputs), [output.example.gold for output in outputs]
        score = text_metrics.METRICS[self.metric](said, references)
        verdicts = [
            Verdict(output.example, " | ".join(wanted), text, 1 - score(np.asarray([row])))
            for row, (output, wanted, text) in enumerate(zip(outputs, references, said, strict=True))
        ]
        return Review(verdicts, f"1 less {self.metric}", score)

    def signatures(self, outputs: Sequence[Output]) -> list[str]:
        """BLEU and chrF as sacrebleu tells them."""
        return text_metrics.signatures(_said(outputs), [output.example.gold for output in outputs])


def _scores(said: Sequence[str], references: text_metrics.References, names: Sequence[str]) -> dict[str, float]:
    every = np.arange(len(said))
    return {name: text_metrics.METRICS[name](said, references)(every) for name in names}


def _said(outputs: Sequence[Output]) -> list[str]:
    return [output.written[0].text if output.written else "" for output in outputs]


def _prediction(one: Written, *, token_scores: bool) -> Prediction:
    found: Prediction = {"text": one.text, "score": one.score}
    if one.cut:
        found["cut"] = True
    if token_scores:
        found["tokens"] = [{"token": piece, "logprob": score} for piece, score in one.pieces]
    if one.sources:
        found["alignments"] = [
            {
                "token": piece,
                "sources": [{"start": start, "end": end, "weight": share} for start, end, share in sources],
            }
            for (piece, _), sources in zip(one.pieces, one.sources, strict=False)  # none for the end
        ]
    return found
