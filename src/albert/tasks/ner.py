"""Entities in a text: persons, places, products, or any other type of the training data's spans."""

from __future__ import annotations

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.data.batches import IGNORED, Features
from albert.data.examples import Columns, Example
from albert.data.spans import (
    OUTSIDE,
    Interval,
    Span,
    Spans,
    chunks,
    look_like_spans,
    parse_spans,
    spans_over,
    split_tag,
    tags_over,
)
from albert.errors import AlbertError, ErrorKind
from albert.tasks.base import DecodeOptions, Lengths, Output, Prediction, Task
from albert.tasks.labels import require_count, require_known
from albert.tasks.losses import PLAIN, LossShape
from albert.tasks.metrics import entity_scores, softmax
from albert.tasks.review import NONE, Mark, Review, Verdict, label_scores, micro_f1
from albert.tasks.windows import Stitched, stitch
from albert.text.encodings import Encoding, Tokenizer

MAX_TYPES = 1000
STEPS = 7  # kinds of a step from one word's tag to the next one's, see `_steps`
_SHARE = 0.4  # how much the steps count beside the network, which has also learned them
_SHOWN = 5


class Unit(NamedTuple):
    """A part of a text with one tag: a word, or under some aggregations a piece."""

    start: int
    end: int
    pieces: list[int]  # positions in the encoding


class EntityRecognition(Task):
    """Tags B-TYPE, I-TYPE and O. The first piece of a word learns the word's tag; its other pieces have no gold.

    The tags of a text are its most probable ones together: each step from tag to tag counts, too, as learned by `tune`
    (Viterbi's algorithm). A model without that, such as a published one, gives each word its own most probable tag.
    """

    name = "ner"
    head = "token_classification"
    problem_type = "single_label_classification"
    pipeline = "token-classification"
    metric = "f1"
    points = True
    case_matters = True
    plural = "entities"
    lengths = Lengths(stride=32)

    def fits(self, values: Sequence[Any], columns: Columns | None = None) -> bool:
        spans = [value for value in values if value not in ([], "[]")]
        return bool(values) and all(map(look_like_spans, spans)) and (bool(spans) or isinstance(values[0], list))

    def parse_gold(self, value: Any, example: Example | None = None) -> Spans:
        return parse_spans(value, None if example is None else example.text)

    def labels(self, examples: Sequence[Example], *, column: str) -> tuple[str, ...]:
        types = {span.label for example in examples for span in example.gold}
        require_count(types, MAX_TYPES, column=column, what="types of entities")
        return OUTSIDE, *sorted(f"{prefix}-{kind}" for kind in types for prefix in "BI")

    def targets(self, examples: Sequence[Example], features: Features, labels: Sequence[str]) -> list[np.ndarray]:
        require_known(((e, span.label) for e in examples for span in e.gold), _types(labels))
        ids = {label: index for index, label in enumerate(labels)}
        gold = [np.full(length, IGNORED, np.int64) for length in features.lengths]
        bounds = features.example_bounds()
        for index, (_, stitched, units, tags, _) in enumerate(_aligned(examples, features)):
            values = np.full(sum(map(len, stitched.kept)), IGNORED, np.int64)
            values[[unit.pieces[0] for unit in units]] = [ids[tag] for tag in tags]
            stitched.divide(values, gold[bounds[index] : bounds[index + 1]])
        return gold

    def remarks(self, examples: Sequence[Example], features: Features) -> list[str]:
        beyond: list[str] = []
        inside: list[str] = []
        for example, _, units, _, misfits in _aligned(examples, features):
            end = units[-1].end if units else 0
            for span in misfits:
                (beyond if span.end > end else inside).append(f"{example.source} {_excerpt(example.text, span)}")
        total = sum(len(example.gold) for example in examples)
        return _repairs(examples) + [
            f"{len(found):,} of {total:,} entities {what}: {', '.join(found[:_SHOWN])}" + ", …" * (len(found) > _SHOWN)
            for found, what in (
                (beyond, "are where their text is cut; evaluation counts them as missed"),
                (inside, "begin or end inside a word; training widens them to it, evaluation counts them as missed"),
            )
            if found
        ]

    def loss(
        self, logits: Float[Tensor, "batch seq labels"], gold: Int[Tensor, "batch seq"], shape: LossShape = PLAIN
    ) -> Float[Tensor, ""]:
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), gold.flatten(), ignore_index=IGNORED, reduction="sum"
        )

    def count(self, gold: Tensor) -> int:
        return int((gold != IGNORED).sum())

    def decode(self, output: Output, labels: Sequence[str], options: DecodeOptions) -> list[Prediction]:
        text, by_piece = output.example.text, options.aggregation in ("none", "simple")
        stitched = stitch(output.offsets)
        units = _units(None if by_piece else output.example.word_places, stitched.join(output.offsets))
        if not units:
            return []
        pool = _POOLS[options.aggregation]
        probabilities = softmax(stitched.join(output.logits))
        said = np.stack([pool(probabilities[unit.pieces]) for unit in units])
        best = said.argmax(1) if by_piece else _path(said, options.thresholds)
        tags, scores = [labels[i] for i in best], said[np.arange(len(units)), best]
        if options.aggregation == "none":
            positions = np.concatenate(stitched.kept).tolist()  # in their windows
            return [
                {
                    "entity": tag,
                    "score": float(score),
                    "index": positions[unit.pieces[0]],
                    **_place(text, unit.start, unit.end),
                }
                for unit, tag, score in zip(units, tags, scores, strict=True)
                if tag != OUTSIDE
            ]
        return [
            {
                "entity_group": label,
                "score": float(scores[first:after].mean()),
                **_place(text, units[first].start, units[after - 1].end),
            }
            for first, after, label in chunks(tags)
        ]

    def tuned(self, labels: int) -> int:
        return STEPS if labels % 2 else 0  # O, and B- and I- of every type, are an odd number

    def tune(self, outputs: Sequence[Output], labels: Sequence[str]) -> tuple[float, ...]:
        """For each kind of step, the logarithm of how much more often it occurs than by chance, times `_SHARE`."""
        ids = {label: index for index, label in enumerate(labels)}
        seen = np.zeros((len(labels), len(labels)))
        for output in outputs:
            units = _units(output.example.word_places, stitch(output.offsets).join(output.offsets))
            tags, _ = tags_over(output.example.gold, [(unit.start, unit.end) for unit in units])
            steps = [ids[tag] for tag in (OUTSIDE, *tags)]
            np.add.at(seen, (steps[:-1], steps[1:]), 1)
        chance = np.outer(seen.sum(1), seen.sum(0)) / max(seen.sum(), 1)
        kinds = _steps(len(labels)).ravel()
        often, expected = (np.bincount(kinds, counts.ravel(), STEPS) for counts in (seen, chance))
        return tuple((_SHARE * np.log((often + 1) / (expected + 1))).tolist())

    def score(
        self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()
    ) -> dict[str, float]:
        return entity_scores(self._spans(outputs, labels, thresholds), [output.example.gold for output in outputs])

    def baseline(
        self, train: Sequence[Example], examples: Sequence[Example], labels: Sequence[str]
    ) -> tuple[str, float]:
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for example in train:
            for word, tag in _tagged(example):
                seen[word][tag] += 1
        predicted = []
        for example in examples:
            # A text is excluded from the counts when it is scored itself; otherwise this would be the gold again.
            own = Counter(_tagged(example)) if train is examples else Counter()
            tags = [_most_frequent(seen[word], word, own) for word, _ in _tagged(example)]
            predicted.append(spans_over(tags, example.word_places))
        scores = entity_scores(predicted, [example.gold for example in examples])
        known = "the other texts" if train is examples else "training"
        return f"every word with its most frequent tag in {known}", scores[self.metric]

    def review(self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float] = ()) -> Review:
        pairs = [
            (output.example, set(spans))
            for output, spans in zip(outputs, self._spans(outputs, labels, thresholds), strict=True)
        ]
        confusions = Counter(pair for example, said in pairs for pair in _beside(example.gold, said))
        gold = [set(example.gold) for example, _ in pairs]
        said = [spans for _, spans in pairs]
        return Review(
            [_verdict(example, spans) for example, spans in pairs],
            "the number of entities missed or invented",
            micro_f1([len(a & b) for a, b in zip(gold, said, strict=True)], [*map(len, said)], [*map(len, gold)]),
            label_scores(confusions, _types(labels)),
            confusions,
        )

    def _spans(self, outputs: Sequence[Output], labels: Sequence[str], thresholds: Sequence[float]) -> list[list[Span]]:
        """The predicted entities of each text."""
        options = DecodeOptions(thresholds=tuple(thresholds))
        return [
            [Span(p["start"], p["end"], p["entity_group"]) for p in self.decode(output, labels, options)]
            for output in outputs
        ]

    def encode(self, tokenizer: Tokenizer, examples: Sequence[Example], lengths: Lengths) -> list[list[Encoding]]:
        if any(example.text_pair is not None for example in examples):
            raise AlbertError(ErrorKind.DATA, "entities", expected="one text a row", got="a pair of texts")
        return super().encode(tokenizer, examples, lengths)


# --- texts, words, pieces --------------------------------------------------------------------------------


def _units(words: Sequence[Interval] | None, offsets: np.ndarray) -> list[Unit]:
    """The words with their pieces, in order. Without `words`, each piece by itself.

    A piece belongs to the word in which it begins, and a word extends to the end of its pieces. Words without pieces
    are left out.
    """
    if words is None:
        return [Unit(start, end, [piece]) for piece, (start, end) in enumerate(offsets.tolist())]
    if not words:
        return []
    starts = [start for start, _ in words]
    owners = np.maximum(np.searchsorted(starts, offsets[:, 0], side="right") - 1, 0).tolist()
    found: list[Unit] = []
    for owner, group in itertools.groupby(range(len(owners)), key=owners.__getitem__):
        pieces = list(group)
        start = max(words[owner][0], found[-1].end) if found else words[owner][0]
        found.append(Unit(start, max(words[owner][1], int(offsets[pieces[-1], 1])), pieces))
    return found


def _aligned(
    examples: Sequence[Example], features: Features
) -> Iterator[tuple[Example, Stitched, list[Unit], list[str], list[Span]]]:
    """Each example with its pieces, its words, their gold tags, and the spans that fit no words."""
    bounds = features.example_bounds()
    for example, first, after in zip(examples, bounds[:-1], bounds[1:], strict=True):
        offsets = [features.offsets_of(row) for row in range(first, after)]
        stitched = stitch(offsets)
        units = _units(example.word_places, stitched.join(offsets))
        yield example, stitched, units, *tags_over(example.gold, [(unit.start, unit.end) for unit in units])


def _tagged(example: Example) -> list[tuple[str, str]]:
    """Each word with its gold tag."""
    at = example.word_places
    tags, _ = tags_over(example.gold, at)
    return [(example.text[start:end], tag) for (start, end), tag in zip(at, tags, strict=True)]


def _most_frequent(tags: Counter[str], word: str, without: Counter[tuple[str, str]]) -> str:
    counts = {tag: count - without[word, tag] for tag, count in tags.items()}
    best = max(counts, key=lambda tag: (counts[tag], tag), default=OUTSIDE)
    return best if counts and counts[best] > 0 else OUTSIDE


def _types(labels: Sequence[str]) -> list[str]:
    return sorted({split_tag(label)[1] for label in labels if label != OUTSIDE})


def _beside(gold: Sequence[Span], said: set[Span]) -> Iterator[tuple[str, str]]:
    """The labels of gold and predicted entities in the same place; `NONE` if one of them is missing."""
    wanted = {(span.start, span.end): span.label for span in gold}
    found = {(span.start, span.end): span.label for span in said}
    for place in wanted.keys() | found.keys():
        yield wanted.get(place, NONE), found.get(place, NONE)


def _verdict(example: Example, said: set[Span]) -> Verdict:
    gold = set(example.gold)
    marks = [Mark(span.start, span.end, said=False, label=span.label) for span in gold]
    marks += [Mark(span.start, span.end, said=True, label=span.label) for span in said]
    return Verdict(
        example, _listed(example.text, gold), _listed(example.text, said), float(len(gold ^ said)), marks=tuple(marks)
    )


def _listed(text: str, spans: set[Span]) -> str:
    return ", ".join(f"{span.label} {text[span.start : span.end]!r}" for span in sorted(spans)) or NONE


def _place(text: str, start: int, end: int) -> Prediction:
    return {"word": text[start:end], "start": start, "end": end}


def _repairs(examples: Sequence[Example]) -> list[str]:
    """What was repaired while the spans were read."""
    told = []
    for what, how in (
        ("trimmed", "began or ended in white space, which was left out"),
        ("repeated", "were duplicates and count once"),
    ):
        mended = [(example, count) for example in examples if (count := getattr(example.gold, what, 0))]
        if mended:
            places = ", ".join(example.source for example, _ in mended[:_SHOWN]) + ", …" * (len(mended) > _SHOWN)
            told.append(f"{sum(count for _, count in mended):,} entities {how}: {places}")
    return told


def _excerpt(text: str, span: Span) -> str:
    return repr(text[span.start : span.end][:30])


# --- tags of a whole text ------------------------------------------------------------------------------


@functools.lru_cache(maxsize=16)
def _steps(labels: int) -> np.ndarray:
    """The kind of each step, [labels, labels]; labels are O, then B- of every type, then I- of every type.

    From O to O, B-, I-: 0, 1, 2. From B- or I- to O, B-, I- of the same type, I- of another one: 3, 4, 5, 6.
    """
    types = labels // 2
    row = np.repeat((0, 1, 2), (1, types, types))
    kinds = row + np.where(row > 0, 3, 0)[:, None]
    kind = np.concatenate([[-1], *[np.arange(types)] * 2])
    return kinds + ((kinds == 5) & (kind[:, None] != kind))


def _path(probabilities: np.ndarray, tuned: Sequence[float]) -> np.ndarray:
    """The tags that are best together, [units], of [units, labels]. Before the first unit there is O.

    Without `tuned` each unit has its own best tag.
    """
    if not tuned:
        return probabilities.argmax(1)
    steps = np.asarray(tuned)[_steps(probabilities.shape[1])]
    scores = np.log(np.maximum(probabilities, 1e-12))
    total, before = steps[0] + scores[0], []
    for own in scores[1:]:
        reached = total[:, None] + steps
        before.append(reached.argmax(0))
        total = reached.max(0) + own
    path = [int(total.argmax())]
    for row in reversed(before):
        path.append(int(row[path[-1]]))
    return np.asarray(path[::-1])


# --- aggregation ---------------------------------------------------------------------------------------

_POOLS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # probabilities [pieces, labels] -> [labels]
    "none": lambda rows: rows[0],
    "simple": lambda rows: rows[0],
    "first": lambda rows: rows[0],
    "average": lambda rows: rows.mean(0),
    "max": lambda rows: rows[rows.max(1).argmax()],
}
