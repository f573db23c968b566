"""Texts as vectors: how alike two texts are, and which answer, question or document is nearest to a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from albert.data.batches import Features
from albert.data.examples import Columns, Example
from albert.errors import AlbertError, ErrorKind
from albert.tasks.base import DecodeOptions, Lengths, Output, Prediction, Task
from albert.tasks.losses import PLAIN, LossShape
from albert.tasks.metrics import ranking_scores, ranks, regression_scores
from albert.tasks.regression import Regression
from albert.tasks.review import Review, Verdict, mean_of
from albert.text.encodings import Encoding, Tokenizer

SCALE = 20.0  # the factor of cosines in a softmax; sentence-transformers' default


class _Embedding(Task):
    """A bi-encoder: each text goes through the encoder by itself. Its vector is the mean of its
    pieces, with length 1.
    """

    head = "embedding"
    pipeline = "sentence-similarity"
    grouped = True

    def fits(self, values: Sequence[Any], columns: Columns | None = None) -> bool:
        return False  # chosen by name only: their columns look like regression or classification

    def texts(self, example: Example) -> list[str]:
        """The texts of an example that become vectors."""
        return [example.text] if example.text_pair is None else [example.text, example.text_pair]

    def count(self, gold: Tensor) -> int:
        return len(gold) // 2

    def decode(self, output: Output, labels: Sequence[str], options: DecodeOptions) -> list[Prediction]:
        """The cosine of a pair, or the vector of a single text."""
        if len(output.logits) == 1:
            return [{"label": "embedding", "score": 1.0, "embedding": _unit(output.logits[0]).tolist()}]
        return [{"label": "similarity", "score": _cosine(output)}]

    def encode(self, tokenizer: Tokenizer, examples: Sequence[Example], lengths: Lengths) -> list[list[Encoding]]:
        texts = [self.texts(example) for example in examples]
        flat = [text for part in texts for text in part]
        rows = iter(tokenizer.encode_batch(flat, max_length=lengths.max_length, offsets=False))
        return [[next(rows) for _ in part] for part in texts]


class Similarity(_Embedding):
    """Pairs with a number. A pair with a higher number must have a higher cosine (CoSENT, Su 2022)."""

    name = "similarity"
    metric = "correlation"

    def parse_gold(self, value: Any, example: Example | None = None) -> float:
        if example is not None and example.text_pair is None:
            raise ValueError("no second text to compare with")
        return _NUMBERS.parse_gold(value)

    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        return _NUMBERS.labels(examples, column=column)

    def targets(self, examples: Sequence[Example], features: Features, labels: Sequence[str]) -> np.ndarray:
        """[2 rows per pair]: the pair's number, on both rows."""
        return np.asarray([example.gold for example in examples], np.float32)[features.owners]

    def loss(
        self, logits: Float[Tensor, "rows hidden"], gold: Float[Tensor, " rows"], shape: LossShape = PLAIN
    ) -> Float[Tensor, ""]:
        """log(1 + sum over pairs i, j with gold i < gold j of exp(s (cos i - cos j))), times the number of pairs."""
        left, right = _pairs(logits)
        cosines, gold = SCALE * (left * right).sum(1), gold[::2]
        wrong = torch.where(gold[:, None] < gold[None, :], cosines[:, None] - cosines[None, :], -torch.inf)
        none = torch.zeros(1, device=logits.device)
        return len(gold) * torch.cat([none, wrong.flatten()]).logsumexp(0)

    def score(
        self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()
    ) -> dict[str, float]:
        predicted = np.asarray([_cosine(output) for output in outputs], np.float32)
        scores = regression_scores(predicted, np.asarray([output.example.gold for output in outputs], np.float32))
        return {name: scores[name] for name in ("pearson", "spearman", "correlation")}

    def baseline(
        self, train: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
    ) -> tuple[str, float]:
        words = [[set(text.lower().split()) for text in self.texts(example)] for example in examples]
        overlap = np.asarray([len(a & b) / max(len(a | b), 1) for a, b in words], np.float32)
        scores = regression_scores(overlap, np.asarray([example.gold for example in examples], np.float32))
        return "the share of words in common", scores[self.metric]

    def review(self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()) -> Review:
        said = np.asarray([_cosine(output) for output in outputs], np.float32)
        gold = np.asarray([output.example.gold for output in outputs], np.float32)
        apart = np.abs(_ranks(said) - _ranks(gold)) / max(len(outputs) - 1, 1)
        verdicts = [
            Verdict(output.example, f"{right:.4g}", f"{cosine:.4g}", float(distance))
            for output, right, cosine, distance in zip(outputs, gold, said, apart, strict=True)
        ]
        return Review(
            verdicts,
            "the share of all pairs between its rank by the cosine and its rank by the gold number",
            lambda chosen: regression_scores(said[chosen], gold[chosen])[self.metric],
            numbers=np.stack([gold, said], 1),
        )


class Retrieval(_Embedding):
    """Questions with their answers. Each must be nearer to its own answer than to the others of its batch (InfoNCE)."""

    name = "retrieval"
    metric = "mrr"

    def parse_gold(self, value: Any, example: Example | None = None) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"label: expected the text that belongs to this one, got {str(value)[:60]!r}")
        return value

    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        if len({example.gold for example in examples}) < 2:
            raise AlbertError(ErrorKind.DATA, f"column {column!r}", expected="different texts", got="one only")
        return (column,)

    def texts(self, example: Example) -> list[str]:
        return super().texts(example) if example.gold is None else [example.text, example.gold]

    def targets(self, examples: Sequence[Example], features: Features, labels: Sequence[str]) -> np.ndarray:
        """[2 rows per pair]: a number for the second text, so that equal texts do not count as wrong answers."""
        return _own(examples, list(dict.fromkeys(example.gold for example in examples)))[features.owners]

    def loss(self, logits: Float[Tensor, "rows hidden"], gold: Tensor, shape: LossShape = PLAIN) -> Float[Tensor, ""]:
        left, right = _pairs(logits)
        ids = gold[::2]
        rivals = (ids[:, None] == ids[None, :]) & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)
        scores = (SCALE * left @ right.T).masked_fill(rivals, -torch.inf)
        own = torch.arange(len(ids), device=ids.device)
        both = [torch.nn.functional.cross_entropy(table, own, reduction="sum") for table in (scores, scores.T)]
        return (both[0] + both[1]) / 2

    def score(
        self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()
    ) -> dict[str, float]:
        """The rank of each text's own second text among all second texts of the data set."""
        texts, table = _beside(outputs)
        return ranking_scores(table, _own([output.example for output in outputs], texts))

    def baseline(
        self, train: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
    ) -> tuple[str, float]:
        from sklearn.feature_extraction.text import TfidfVectorizer

        answers = list(dict.fromkeys(example.gold for example in examples))
        vectors = TfidfVectorizer(token_pattern=r"\S+").fit(answers)
        table = (vectors.transform([e.text for e in examples]) @ vectors.transform(answers).T).toarray()
        scores = ranking_scores(table, _own(examples, answers))
        return "words in common (TF-IDF)", scores[self.metric]

    def review(self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()) -> Review:
        texts, table = _beside(outputs)
        places = ranks(table, _own([output.example for output in outputs], texts))
        verdicts = [
            Verdict(output.example, output.example.gold, texts[row.argmax()], 1 - 1 / rank, float(row.max()))
            for output, row, rank in zip(outputs, table, places.tolist(), strict=True)
        ]
        return Review(verdicts, "1 minus the reciprocal rank of its own text", mean_of(1 / places))


_NUMBERS = Regression()


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))


def _cosine(output: Output) -> float:
    first, second = output.logits
    return float(_unit(first) @ _unit(second))


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values))


def _beside(outputs: Sequence[Output]) -> tuple[list[str], np.ndarray]:
    """All second texts, each once, and the cosines of the first texts with them, [examples, texts]."""
    own = {output.example.gold: _unit(output.logits[1]) for output in outputs}
    table = np.stack([_unit(output.logits[0]) for output in outputs]) @ np.stack(list(own.values())).T
    return list(own), table


def _own(examples: Sequence[Example], texts: Sequence[str]) -> np.ndarray:
    """[examples]: the index of each example's own second text."""
    places = {text: place for place, text in enumerate(texts)}
    return np.asarray([places[example.gold] for example in examples], np.int64)


def _pairs(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The vectors of the first and of the second texts, with length 1."""
    units = torch.nn.functional.normalize(logits.float(), dim=1)
    return units[::2], units[1::2]
