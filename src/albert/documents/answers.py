"""Answers to questions: the passages of a search are read together, and "no answer" is one of the candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from albert.documents.passages import shown
from albert.documents.search import Hit, telling
from albert.predict.predictor import Predictor

PASSAGES = 10  # that are read
KEPT = 6  # answers a passage
_FLOOR = 1e-9  # of a probability
_MOST = 50.0  # log odds
_STEM = 5  # letters of a word that tell it from others
# What search adds to the log of an answer's probability: this share of the BM25 by which its passage is behind the
# best one or, where words were not searched, this power of its rank (benchmarks/documents.py compares others).
BM25_WEIGHT = 0.5
RANK_POWER = 1.5
# The log of the odds that an answer is right: a constant, and the weights of its probability with what search says, of
# its odds against "no answer here", and of the BM25 by which the best passage leads (recipes/silence.py fits them).
RIGHT = (-0.45, 0.33, 0.2, 0.03)
_SURE = 8.0  # odds beyond which a reader that never learned silence tells no more
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
    """A part of a passage: `weight` ranks it among those of other passages, `odds` is the log of its being right."""

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
    asked = [] if reader is None else pairs(question, hits)
    if reader is None or not asked:
        return chosen(question, hits, [], threshold=threshold)
    said = reader([{"question": one, "context": context} for one, context in asked], top_k=KEPT,
                  handle_impossible_answer=True)  # fmt: skip
    return chosen(question, hits, said, threshold=threshold)


def pairs(question: str, hits: Sequence[Hit]) -> list[tuple[str, str]]:
    """What a reader reads: the question with each passage, under its headings. FAQs are not read."""
    return [(question, shown(hit.heading, hit.text)[0]) for hit in hits if hit.answer is None]


def chosen(
    question: str, hits: Sequence[Hit], said: Sequence[list[dict[str, object]]], *, threshold: float
) -> Answer:  # fmt: skip
    """The most likely answer among the reader's predictions for `pairs` and the FAQs, or none."""
    candidates = [_of_faq(question, hit) for hit in hits if hit.answer is not None]
    texts = [(rank, hit) for rank, hit in enumerate(hits, 1) if hit.answer is None]
    behind, lead = _behind(hits), _lead(hits)
    for (rank, hit), found in zip(texts, said, strict=False):  # without a reader nothing is said
        candidates += _candidates(hit, behind[rank - 1], lead, found)
    best = max(candidates, key=lambda one: one.weight, default=None)
    nearest = tuple(hits)
    if best is None:
        return Answer(question, "", 0.0, nearest[0] if nearest else None, others=nearest[1:])
    score = 1 / (1 + math.exp(-max(min(best.odds, _MOST), -_MOST)))
    if score <= threshold:
        return Answer(question, "", score, nearest[0], others=nearest[1:])
    others = tuple(hit for hit in nearest if hit is not best.hit)
    return Answer(question, best.text, score, best.hit, best.start, best.end, others)


def _of_faq(question: str, hit: Hit) -> _Candidate:
    """A FAQ's answer: as likely as the share of telling words that its question and this one have in common."""
    own, other = ({word[:_STEM] for word in telling(text)} for text in (question, hit.text))
    share = min(max(2 * len(own & other) / max(len(own) + len(other), 1), _FLOOR), 1 - _FLOOR)
    return _Candidate(hit, hit.answer or "", hit.start, hit.end, math.log(share), math.log(share / (1 - share)))


def _behind(hits: Sequence[Hit]) -> list[float]:
    """How far each passage is behind the best one, as a log. A passage that words did not find counts as the last."""
    known = [hit.bm25 for hit in hits if hit.bm25 is not None]
    if not known:
        return [RANK_POWER * math.log(rank) for rank, _ in enumerate(hits, 1)]
    return [BM25_WEIGHT * (max(known) - (min(known) if hit.bm25 is None else hit.bm25)) for hit in hits]


def _lead(hits: Sequence[Hit]) -> float:
    """The BM25 of the best passage less that of the next one."""
    known = sorted((hit.bm25 for hit in hits if hit.bm25 is not None), reverse=True)
    return known[0] - (known[1] if len(known) > 1 else 0) if known else 0.0


def _candidates(hit: Hit, behind: float, lead: float, predictions: list[dict[str, object]]) -> list[_Candidate]:
    """The candidates of one passage. The reader predicts "no answer", too, unless all its predictions are more likely.

    Parts of the headings, which were shown, are left out.
    """
    scores = [float(str(one["score"])) for one in predictions]
    null = max(next((s for s, one in zip(scores, predictions, strict=True) if not one["answer"]), min(scores)), _FLOOR)
    _, before = shown(hit.heading, hit.text)
    found = []
    for score, one in zip(scores, predictions, strict=True):
        start, end, text = int(str(one["start"])) - before, int(str(one["end"])) - before, str(one["answer"])
        if text and start >= 0:
            likely = math.log(max(score, _FLOOR))
            weight, odds = likely - behind, likely - math.log(null)
            found.append(_Candidate(hit, text, hit.start + start, hit.start + end, weight, _right(weight, odds, lead)))
    return found


def _right(weight: float, odds: float, lead: float) -> float:
    """The log of the odds that an answer is right."""
    constant, *weights = RIGHT
    known = weight, max(-_SURE, min(odds, _SURE)), lead
    return constant + sum(a * b for a, b in zip(weights, known, strict=True))
