"""Answers to questions: the passages that a search found are read together, and silence is one of the answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from albert.documents.search import Hit, telling
from albert.predict.predictor import Predictor

PASSAGES = 10  # that are read
_KEPT = 6  # answers a passage
_FLOOR = 1e-9  # of a probability
_STEM = 5  # letters of a word that tell it from others
# An answer's probability is divided by the rank of its passage to this power (benchmarks/documents.py compares others).
RANK_POWER = 1.5
THRESHOLD = 0.5  # below it there is no answer


@dataclass(frozen=True)
class Answer:
    """An answer in its document, or none.

    `score` is the probability that `text` is the answer, by the reader and the search together. `start` and `end` are
    characters of the document's text. Without an answer `text` is "" and `hit` the nearest passage, if there is any.
    """

    question: str
    text: str
    score: float
    hit: Hit | None
    start: int = 0
    end: int = 0
    others: tuple[Hit, ...] = ()

    @property
    def found(self) -> bool:
        """Whether there is an answer."""
        return bool(self.text)


@dataclass(frozen=True)
class _Candidate:
    """A part of a passage: `weight` ranks it among those of other passages, `odds` is the log of those against none."""

    hit: Hit
    text: str
    start: int
    end: int
    weight: float
    odds: float


def read(question: str, hits: Sequence[Hit], reader: Predictor | None, *, threshold: float = THRESHOLD) -> Answer:
    """The likeliest answer in the passages, or none where even that one's probability is below the threshold.

    The answer to a FAQ's question that is much the same counts, too; without a `reader` no other does.
    """
    candidates = [_of_faq(question, hit) for hit in hits if hit.answer is not None]
    texts = [(rank, hit) for rank, hit in enumerate(hits, 1) if hit.answer is None] if reader is not None else []
    if texts and reader is not None:
        pairs = [{"question": question, "context": hit.text} for _, hit in texts]
        said = reader(pairs, top_k=_KEPT, handle_impossible_answer=True)
        for (rank, hit), found in zip(texts, said, strict=True):
            candidates += _candidates(hit, rank, found)
    best = max(candidates, key=lambda one: one.weight, default=None)
    nearest = tuple(hits)
    if best is None:
        return Answer(question, "", 0.0, nearest[0] if nearest else None, others=nearest[1:])
    score = 1 / (1 + math.exp(-best.odds))
    if score < threshold:
        return Answer(question, "", score, nearest[0], others=nearest[1:])
    others = tuple(hit for hit in nearest if hit is not best.hit)
    return Answer(question, best.text, score, best.hit, best.start, best.end, others)


def shown(heading: str, text: str) -> tuple[str, int]:
    """A passage as a reader sees it, under its headings, and where in that the passage begins."""
    before = f"{heading}: " if heading else ""
    return before + text, len(before)


def _of_faq(question: str, hit: Hit) -> _Candidate:
    """A FAQ's answer: as likely as the share of telling words that its question and this one have in common."""
    own, other = ({word[:_STEM] for word in telling(text)} for text in (question, hit.text))
    share = min(max(2 * len(own & other) / max(len(own) + len(other), 1), _FLOOR), 1 - _FLOOR)
    return _Candidate(hit, hit.answer or "", hit.start, hit.end, math.log(share), math.log(share / (1 - share)))


def _candidates(hit: Hit, rank: int, predictions: list[dict[str, object]]) -> list[_Candidate]:
    """The parts of one passage. "No answer" is among what the reader says, unless all it says is likelier."""
    scores = [float(str(one["score"])) for one in predictions]
    null = max(next((s for s, one in zip(scores, predictions, strict=True) if not one["answer"]), min(scores)), _FLOOR)
    return [
        _Candidate(
            hit, str(one["answer"]), hit.start + int(str(one["start"])), hit.start + int(str(one["end"])),
            math.log(max(score, _FLOOR)) - RANK_POWER * math.log(rank), math.log(max(score, _FLOOR) / null),
        )
        for score, one in zip(scores, predictions, strict=True)
        if one["answer"]
    ]  # fmt: skip
