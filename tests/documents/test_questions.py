"""Whatever is asked, a search and an answer end with a result or one clear line."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import albert as package
from albert.documents import Index
from conftest import ROOT, Albert

PARTS = [
    "shoes", "return", "parcel", "how long", "password", "Łódź", "e\u0301" * 9, "🎓👩‍🚀", "\u200d", "\u202e", "\ud800",
    "\udcff", "\0", "\x1b[2J", "\n", "\t", '"', "'", "*", "?", "[", "]", "^", "(", ")", "NEAR(", "AND", "OR", "NOT",
    "text:", "--", ";", "%s", "{}", "\\", "٣", "½", "ﬁ", "ß", "İ", "한국어", "пароль", "-1", "1e999", "NaN", "a" * 300,
    "{title}", "../..", "¹",
]  # fmt: skip


class Finder:
    """A reader that takes the first word of every text for the answer."""

    task = SimpleNamespace(name="qa", pipeline="question-answering")
    thresholds = ()

    def __call__(self, pairs: list[dict[str, str]], **_: Any) -> list[list[dict[str, Any]]]:
        words = [pair["context"].split()[0] for pair in pairs]
        return [[{"answer": word, "score": 0.8, "start": 0, "end": len(word)}] for word in words]


def odd(rng: random.Random) -> str:
    """A question that nobody would ask."""
    parts = [
        rng.choice(PARTS) if rng.random() < 0.8 else chr(rng.randrange(0x11_0000)) for _ in range(rng.randrange(12))
    ]
    return rng.choice(["", " "]).join(parts)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with package.Index(tmp_path_factory.mktemp("shop") / "shop.db") as kb:
        kb.add(ROOT / "examples" / "shop")
        yield kb


def asked(kb: Index, rng: random.Random, count: int) -> None:
    reader: Any = Finder()
    for _ in range(count):
        question, pattern = odd(rng), rng.choice([None, None, odd(rng)])
        hits = kb.search(question, path=pattern)
        answer = kb.ask(question, reader=reader, path=pattern, threshold=rng.random())
        assert all(hit.text for hit in hits)
        assert 0 <= answer.score <= 1
        assert not answer.found or answer.hit is not None


def test_odd_questions(shop: Index) -> None:
    asked(shop, random.Random(0), 300)


@pytest.mark.slow
def test_ten_thousand_odd_questions(shop: Index) -> None:
    asked(shop, random.Random(1), 10_000)


@pytest.mark.parametrize("text", ["\udcff", "shoes \udc80", "\ud83d shoes"])
def test_a_command_line_that_is_no_text(shop: Index, albert: Albert, text: str) -> None:
    for words in (("search", shop.store.path, text), ("search", shop.store.path, "shoes", "--filter", text),
                  ("ask", shop.store.path, text), ("index", shop.store.path, "--remove", text)):  # fmt: skip
        done = albert(*words)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr


def test_a_question_longer_than_any_model_reads(shop: Index) -> None:
    assert shop.search("shoes " * 5000)
    assert shop.search(" ".join(f"word{n}" for n in range(50_000)) + " shoes") == []


def test_the_shop_stays_as_it_was(shop: Index) -> None:
    assert Path(shop.store.path).is_file()
    assert shop.status().documents == 8
