"""What the package ships: the messages and the vocabulary."""

from __future__ import annotations

import csv
import re
from collections import Counter
from importlib import resources

from albert.text.tokenizer import AlbertTokenizer

MESSAGES = list(
    csv.DictReader((resources.files("albert") / "assets" / "messages.csv").read_text(encoding="utf-8").splitlines())
)


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def test_the_messages_are_many_balanced_and_different() -> None:
    assert len(MESSAGES) >= 600
    sentiments = Counter(row["sentiment"] for row in MESSAGES)
    assert set(sentiments) == {"negative", "neutral", "positive"}
    assert min(sentiments.values()) > 0.8 * max(sentiments.values())
    assert len({row["topic"] for row in MESSAGES}) == 6
    assert len({words(row["text"]) for row in MESSAGES}) == len(MESSAGES)
    assert all(3 <= len(row["text"].split()) <= 45 for row in MESSAGES)


def test_no_two_messages_are_nearly_the_same() -> None:
    bags = [words(row["text"]) for row in MESSAGES]
    worst = max(len(a & b) / len(a | b) for i, a in enumerate(bags) for b in bags[:i])
    assert worst < 0.6


def test_the_vocabulary_reads_the_messages(tokenizer: AlbertTokenizer) -> None:
    assert tokenizer.vocab_size == 16_000
    pieces = tokenizer.pieces([row["text"] for row in MESSAGES])
    unknown = sum(int((p.ids == 1).sum()) for p in pieces)
    count = sum(map(len, pieces))
    assert unknown < 0.001 * count
    assert count < 1.6 * sum(len(row["text"].split()) for row in MESSAGES)
