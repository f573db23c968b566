"""Multiple choice, the right one of several answers: RACE, DREAM, SWAG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.data.batches import Features
from albert.data.examples import Columns, Example
from albert.errors import AlbertError, ErrorKind
from albert.tasks.base import DecodeOptions, Lengths, Output, Prediction, Task
from albert.tasks.losses import PLAIN, LossShape
from albert.tasks.metrics import softmax
from albert.tasks.review import Review, Verdict, mean_of
from albert.text.encodings import Encoding, Tokenizer

BLANK = "_"  # the place of the choice in RACE's questions


class MultipleChoice(Task):
    """Each choice is a sequence of its own, [CLS] text [SEP] question choice [SEP]. One softmax compares their scores.

    A sequence that is too long loses the end of its longer part, which is usually the text. Source: ALBERT's
    run_race.py.
    """

    name = "choice"
    head = "multiple_choice"
    pipeline = "multiple-choice"
    metric = "accuracy"
    grouped = True
    answer = "choice"
    lengths = Lengths(max_length=256)

    def fits(self, values: Sequence[Any], columns: Columns | None = None) -> bool:
        return columns is not None and bool(columns.choices)

    def parse_gold(self, value: Any, example: Example | None = None) -> int:
        """The right choice's number from 0, its letter, or its text."""
        choices = () if example is None else example.choices
        if example is not None and len(choices) < 2:
            raise ValueError(f"choices: expected at least two, got {len(choices)}")
        at = _position(value, choices)
        if at is None or (choices and not 0 <= at < len(choices)):
            raise ValueError(f"label: expected a letter, a number from 0 or a choice, got {str(value)[:60]!r}")
        return at

    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        return ("score",)

    def targets(self, examples: Sequence[Example], features: Features, labels: Sequence[str]) -> np.ndarray:
        """[choices of all examples, 2]: the example of a choice, and whether it is the right choice."""
        right = np.zeros(len(features), np.int64)
        right[features.example_bounds()[:-1] + [example.gold for example in examples]] = 1
        return np.stack([features.owners, right], 1)

    def loss(
        self, logits: Float[Tensor, "rows 1"], gold: Int[Tensor, "rows 2"], shape: LossShape = PLAIN
    ) -> Float[Tensor, ""]:
        _, sizes = torch.unique_consecutive(gold[:, 0], return_counts=True)
        groups = torch.split(logits.squeeze(1).float(), sizes.tolist())
        table = torch.nn.utils.rnn.pad_sequence(list(groups), batch_first=True, padding_value=-torch.inf)
        right = torch.stack([part.argmax() for part in torch.split(gold[:, 1], sizes.tolist())])
        return torch.nn.functional.cross_entropy(table, right, reduction="sum")

    def count(self, gold: Tensor) -> int:
        return int(gold[:, 1].sum())

    def decode(self, output: Output, labels: Sequence[str], options: DecodeOptions) -> list[Prediction]:
        probabilities = softmax(_scores(output))
        best = np.argsort(-probabilities, kind="stable")[: options.top_k]
        return [{"choice": output.example.choices[i], "index": int(i), "score": float(probabilities[i])} for i in best]

    def score(
        self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()
    ) -> dict[str, float]:
        return {"accuracy": float(np.mean([_scores(output).argmax() == output.example.gold for output in outputs]))}

    def baseline(
        self, train: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
    ) -> tuple[str, float]:
        longest = [int(np.argmax([len(choice) for choice in example.choices])) for example in examples]
        hits = [at == example.gold for at, example in zip(longest, examples, strict=True)]
        return "always the longest choice", float(np.mean(hits))

    def review(self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()) -> Review:
        chances = [softmax(_scores(output)) for output in outputs]
        gold = np.asarray([output.example.gold for output in outputs])
        verdicts = []
        for output, right, row in zip(outputs, gold, chances, strict=True):
            best, choices = int(row.argmax()), output.example.choices
            verdicts.append(
                Verdict(output.example, choices[right], choices[best], float(best != right), float(row[best]))
            )
        table = np.zeros((len(chances), max(map(len, chances))), np.float32)  # choices that only other examples have: 0
        for place, row in zip(table, chances, strict=True):
            place[: len(row)] = row
        return Review(
            verdicts,
            "1 where the choice is wrong",
            mean_of([verdict.error == 0 for verdict in verdicts]),
            probabilities=table,
            gold=gold,
        )

    def encode(self, tokenizer: Tokenizer, examples: Sequence[Example], lengths: Lengths) -> list[list[Encoding]]:
        if any(len(example.choices) < 2 for example in examples):
            raise AlbertError(ErrorKind.DATA, "multiple choice", expected="at least two choices", got="fewer")
        pairs = [(example.text, _question(example, choice)) for example in examples for choice in example.choices]
        rows = iter(tokenizer.encode_batch(pairs, max_length=lengths.max_length, offsets=False))
        return [[next(rows) for _ in example.choices] for example in examples]


def _position(value: Any, choices: Sequence[str]) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    value = value.strip()
    if value in choices:
        return choices.index(value)
    if value.isdecimal():
        return int(value)
    if len(value) == 1 and value.isascii() and value.isalpha():
        return ord(value.upper()) - ord("A")
    return None


def _question(example: Example, choice: str) -> str:
    question = example.text_pair or ""
    if BLANK in question:
        return question.replace(BLANK, choice, 1)
    return f"{question} {choice}".strip()


def _scores(output: Output) -> np.ndarray:
    return np.concatenate(output.logits)
