"""Question answering: the answer as a part of a text, or no answer in the text (SQuAD 1.1 and 2.0)."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.data.batches import IGNORED, Features
from albert.data.examples import Columns, Example
from albert.errors import AlbertError, ErrorKind
from albert.tasks.base import DecodeOptions, Lengths, Output, Prediction, Task
from albert.tasks.losses import PLAIN, LossShape
from albert.tasks.metrics import softmax
from albert.tasks.review import NONE, Listing, Mark, Review, Verdict, mean_of
from albert.tasks.squad_metrics import squad_scores, token_f1
from albert.text.encodings import Encoding, Tokenizer

_CONSIDERED = 20  # the best starts and the best ends per window; all their pairs are compared
_SHOWN = 5
_UNTUNED = 0.5  # the threshold if "" is allowed and none was tuned
_TRIED = (0.1, 0.25, 0.5, 0.75, 0.9)  # the thresholds for no answer that a report compares
NOWHERE = -1


class Answer(NamedTuple):
    """A gold answer and the character where it starts; `NOWHERE` if its text does not contain it.

    `moved`: the text contains it, but at another place than the file says.
    """

    start: int
    text: str
    moved: bool = False


class QuestionAnswering(Task):
    """A plain span head: start and end are scored separately, and a question without an answer points at [CLS].

    A long text is read in windows. Each window's probabilities include [CLS], so those of different windows and texts
    can be compared.
    """

    name = "qa"
    head = "span"
    pipeline = "question-answering"
    metric = "f1"
    points = True
    answer = "answer"
    lengths = Lengths(max_length=384, stride=128)

    def fits(self, values: Sequence[Any], columns: Columns | None = None) -> bool:
        try:
            return any(self.parse_gold(value) for value in values if isinstance(value, (dict, list)))
        except ValueError:
            return False

    def parse_gold(self, value: Any, example: Example | None = None) -> tuple[Answer, ...]:
        answers = [Answer(start, text) for start, text in _listed(value)]
        if example is None:
            return tuple(answers)
        if example.text_pair is None:
            raise ValueError("no text to find the answer in: expected a question and a context")
        return tuple(_located(answer, example.text_pair) for answer in answers)

    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        if not any(example.gold for example in examples):
            raise AlbertError(ErrorKind.DATA, f"column {column!r}", expected="answers to some questions", got="none")
        return "start", "end"

    def targets(self, examples: Sequence[Example], features: Features, labels: Sequence[str]) -> np.ndarray:
        """[windows, 2]: the first and last piece of the answer; [CLS] if a window does not contain all of it."""
        gold = np.zeros((len(features), 2), np.int64)
        for row, owner in enumerate(features.owners.tolist()):
            answers = examples[owner].gold
            found = [answer for answer in answers if answer.start != NOWHERE]
            if found:
                gold[row] = _pieces_of(found[0], features.offsets_of(row))
            elif answers:
                gold[row] = IGNORED
        return gold

    def remarks(self, examples: Sequence[Example], features: Features) -> list[str]:
        lost = [e for e in examples if e.gold and all(answer.start == NOWHERE for answer in e.gold)]
        moved = [e for e in examples if any(answer.moved for answer in e.gold)]
        return [
            f"{len(found):,} of {len(examples):,} questions have answers that {what}: "
            + ", ".join(f"{example.source} {example.gold[0].text[:30]!r}" for example in found[:_SHOWN])
            + ", …" * (len(found) > _SHOWN)
            for found, what in (
                (lost, "their texts do not contain; training leaves them out, evaluation counts them"),
                (moved, "are not where their file says; the nearest place was taken"),
            )
            if found
        ]

    def loss(
        self, logits: Float[Tensor, "rows seq 2"], gold: Int[Tensor, "rows 2"], shape: LossShape = PLAIN
    ) -> Float[Tensor, ""]:
        losses = torch.nn.functional.cross_entropy(
            logits.float().transpose(1, 2).flatten(0, 1),
            gold.flatten(),
            ignore_index=IGNORED,
            reduction="sum",
        )
        return losses / 2

    def count(self, gold: Tensor) -> int:
        return int((gold[:, 0] != IGNORED).sum())

    def decode(self, output: Output, labels: Sequence[str], options: DecodeOptions) -> list[Prediction]:
        return _chosen(_weighed(output, options), options)

    def tuned(self, labels: int) -> int:
        return 1

    def tune(self, outputs: Sequence[Output], labels: Sequence[str]) -> tuple[float, ...]:
        """The threshold for no answer with the best score, if some questions have no answer."""
        if all(output.example.gold for output in outputs):
            return ()
        return (_compared(_weighed_all(outputs), _gold_texts(outputs))["best_f1_thresh"],)

    def score(
        self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()
    ) -> dict[str, float]:
        """Scores of the answers that `decode` gives. `best_…` are the scores at the best threshold for no answer."""
        weighed, gold = _weighed_all(outputs), _gold_texts(outputs)
        scores = squad_scores([best["answer"] for best in _given(weighed, thresholds)], gold)
        if thresholds or not all(gold):
            scores |= {name: value for name, value in _compared(weighed, gold).items() if name.startswith("best_")}
        return scores

    def baseline(
        self, train: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
    ) -> tuple[str, float]:
        lengths = [len(example.gold[0].text.split()) for example in train if example.gold]
        count = int(np.median(lengths)) if lengths else 1
        first = [" ".join((example.text_pair or "").split()[:count]) for example in examples]
        gold = [[answer.text for answer in example.gold] for example in examples]
        guess, silence = (squad_scores(texts, gold)["f1"] for texts in (first, [""] * len(first)))
        if silence > guess:
            return "always no answer", silence
        return f"always the first {count} words of the text", guess

    def encode(self, tokenizer: Tokenizer, examples: Sequence[Example], lengths: Lengths) -> list[list[Encoding]]:
        if any(example.text_pair is None for example in examples):
            raise AlbertError(ErrorKind.DATA, "question answering", expected="a question and a context", got="one text")
        return [list(map(_pointing_at_context, rows)) for rows in super().encode(tokenizer, examples, lengths)]

    def review(self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()) -> Review:
        silent = bool(thresholds) or any(not output.example.gold for output in outputs)
        weighed = _weighed_all(outputs)
        given = _given(weighed, thresholds)
        verdicts = [_verdict(output.example, best) for output, best in zip(outputs, given, strict=True)]
        return Review(
            verdicts,
            "1 minus the F1 of the words shared with a gold answer",
            mean_of([1 - verdict.error for verdict in verdicts]),
            listings=[_silences(weighed, _gold_texts(outputs), thresholds)] if silent else [],
        )


# --- gold ------------------------------------------------------------------------------------------------


def _listed(value: Any) -> list[tuple[int, str]]:
    """(start, text) of each answer in SQuAD's nested form, its flat form, or either as JSON in a cell."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"answers: expected JSON, got {value[:60]!r}") from None
    if isinstance(value, dict) and {"text", "answer_start"} <= value.keys():
        texts, starts = value["text"], value["answer_start"]
        if isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts):
            value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
        elif not isinstance(texts, list):
            value = [value]
    if not isinstance(value, list):
        got = "none" if value is None else f"{str(value)[:60]!r}"
        raise ValueError(f"answers: expected a list of {{text, answer_start}}, [] where the text has none, got {got}")
    return [answer for item in value if (answer := _one(item)) is not None]


def _one(item: Any) -> tuple[int, str] | None:
    """(start, text) of an answer. None for the empty text at -1, which means "no answer" in some files."""
    match item:
        case {"text": str() | int() | float() as text, "answer_start": str() | int() | float() as start} if (
            bool not in (type(text), type(start)) and text == text  # NaN is no text
        ):
            text, place = str(text), _whole_number(start)
            if not text.strip() and place == NOWHERE:
                return None
            if text.strip() and place is not None:
                return place + len(text) - len(text.lstrip()), text.strip()
    raise ValueError(f"answer {str(item)[:60]}: expected {{text, answer_start}}")


def _whole_number(value: str | int | float) -> int | None:
    """12, 12.0 and "12" as a number; None for anything else."""
    try:
        return int(value) if int(value) == float(value) else None
    except (ValueError, OverflowError):
        return None


def _located(answer: Answer, context: str) -> Answer:
    """The answer at its place in the context: at its start, else at the nearest place, else `NOWHERE`."""
    if context.startswith(answer.text, max(answer.start, 0)) and answer.start >= 0:
        return answer
    places = []
    at = context.find(answer.text)
    while at >= 0:
        places.append(at)
        at = context.find(answer.text, at + 1)
    if not places:
        return Answer(NOWHERE, answer.text)
    return Answer(min(places, key=lambda place: abs(place - answer.start)), answer.text, moved=True)


def _pieces_of(answer: Answer, offsets: np.ndarray) -> tuple[int, int]:
    solid = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
    end = answer.start + len(answer.text)
    if not len(solid) or answer.start < offsets[solid[0], 0] or end > offsets[solid[-1], 1]:
        return 0, 0
    first = int(np.searchsorted(offsets[solid, 1], answer.start, side="right"))
    last = int(np.searchsorted(offsets[solid, 0], end, side="left")) - 1
    return int(solid[first]), int(solid[max(first, last)])


def _gold_texts(outputs: Sequence[Output]) -> list[list[str]]:
    return [[answer.text for answer in output.example.gold] for output in outputs]


def _verdict(example: Example, best: Prediction) -> Verdict:
    answers = [answer.text for answer in example.gold]
    marks = {Mark(a.start, a.start + len(a.text), said=False) for a in example.gold if a.start != NOWHERE}
    if best["answer"]:
        marks.add(Mark(best["start"], best["end"], said=True))
    return Verdict(
        example,
        " | ".join(dict.fromkeys(answers)) or NONE,
        best["answer"] or NONE,
        1 - token_f1(best["answer"], answers),
        best["score"],
        tuple(marks),
    )


def _pointing_at_context(encoding: Encoding) -> Encoding:
    """The same encoding with offsets for the context only, so that no answer can be in the question."""
    offsets = [
        offset if sequence == 1 else (0, 0)
        for offset, sequence in zip(encoding.offsets, encoding.sequence_ids, strict=True)
    ]
    return dataclasses.replace(encoding, offsets=offsets)


# --- answers ---------------------------------------------------------------------------------------------


class _Weighed(NamedTuple):
    """The most likely parts of a context, best first, and the probability that it has no answer."""

    found: list[Prediction]
    null: float

    @property
    def share(self) -> float:
        """The probability of no answer, relative to its sum with the best answer's."""
        both = self.null + (self.found[0]["score"] if self.found else 0.0)
        return self.null / both if both and self.found else 1.0


def _weighed(output: Output, options: DecodeOptions) -> _Weighed:
    """Combines the windows of a context.

    A part's probability is that of its start times that of its end. The probability of no answer is that of the window
    where it is lowest.
    """
    text = output.example.text_pair or ""
    best: dict[tuple[int, int], float] = {}
    null = 1.0
    for logits, offsets in zip(output.logits, output.offsets, strict=True):
        solid = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
        starts, ends = softmax(logits[np.concatenate([[0], solid])].T)  # [CLS] first
        null = min(null, float(starts[0] * ends[0]))
        for first, last, score in _pairs(starts[1:], ends[1:], options.max_answer):
            place = int(offsets[solid[first], 0]), int(offsets[solid[last], 1])
            best[place] = max(score, best.get(place, 0.0))
    ranked = sorted(best.items(), key=lambda item: -item[1])[: options.top_k]
    found = [{"score": score, "start": start, "end": end, "answer": text[start:end]} for (start, end), score in ranked]
    return _Weighed(found, null)


def _weighed_all(outputs: Sequence[Output]) -> list[_Weighed]:
    return [_weighed(output, DecodeOptions()) for output in outputs]


def _chosen(weighed: _Weighed, options: DecodeOptions) -> list[Prediction]:
    """The answers that are given, best first. Both `predict` and the scores use this function."""
    found, none = list(weighed.found), {"score": weighed.null, "start": 0, "end": 0, "answer": ""}
    if not found:
        return [none]
    if bool(options.thresholds) if options.no_answer is None else options.no_answer:
        threshold = options.thresholds[0] if options.thresholds else _UNTUNED
        at = 0 if weighed.share > threshold else 1 + sum(part["score"] >= weighed.null for part in found[1:])
        found.insert(at, none)
    return found[: options.top_k]


def _given(weighed: Sequence[_Weighed], thresholds: Sequence[float]) -> list[Prediction]:
    """The answer that each question gets with these thresholds."""
    options = DecodeOptions(thresholds=tuple(thresholds))
    return [_chosen(one, options)[0] for one in weighed]


def _compared(weighed: Sequence[_Weighed], gold: Sequence[Sequence[str]]) -> dict[str, float]:
    """The scores of each question's best answer, and what the best threshold for no answer would reach."""
    texts = [one.found[0]["answer"] if one.found else "" for one in weighed]
    return squad_scores(texts, gold, null_scores=[one.share for one in weighed])


def _silences(weighed: Sequence[_Weighed], gold: Sequence[Sequence[str]], thresholds: Sequence[float]) -> Listing:
    """The scores at other thresholds for no answer."""
    rows: list[tuple[float | str, ...]] = []
    for limit in sorted({*_TRIED, *(thresholds or (math.inf,))}):  # without a threshold every question is answered
        said = [best["answer"] for best in _given(weighed, (limit,))]
        scores = squad_scores(said, gold)
        name = "none" if limit == math.inf else f"{limit:.4g}"
        used = limit in thresholds or limit == math.inf
        answered = float(np.mean([answer != "" for answer in said]))
        rows.append((name + ", in use" * used, scores["exact"], scores["f1"], answered))
    return Listing(
        "Threshold for no answer",
        "A question gets no answer if its probability of no answer is above the threshold.",
        ("threshold", "exact", "f1", "answered"),
        rows,
    )


def _pairs(starts: np.ndarray, ends: np.ndarray, longest: int) -> list[tuple[int, int, float]]:
    """(first, last, probability) of the parts of at most `longest` pieces between the most likely starts and ends."""
    first = np.argsort(-starts, kind="stable")[:_CONSIDERED]
    last = np.argsort(-ends, kind="stable")[:_CONSIDERED]
    length = last[None, :] - first[:, None] + 1
    rows, columns = np.nonzero((length > 0) & (length <= longest))
    scores = starts[first[rows]] * ends[last[columns]]
    return list(zip(first[rows].tolist(), last[columns].tolist(), scores.tolist(), strict=True))
