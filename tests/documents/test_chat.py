"""The assistant: what it recognises, what it remembers, and that it never makes anything up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import albert as package
from albert.documents.chat import Assistant, Kind
from conftest import ROOT, Albert


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chat") / "shop.db"
    with package.Index(path) as kb:
        kb.add(ROOT / "examples" / "shop")
    return path


class Finder:
    """A reader that takes the first number of a text for the answer, where it has one."""

    task = SimpleNamespace(name="qa", pipeline="question-answering")

    def __call__(self, pairs: list[dict[str, str]], **_: Any) -> list[list[dict[str, Any]]]:
        said = []
        for pair in pairs:
            number = next((word for word in pair["context"].split() if word.isdigit()), "")
            start = pair["context"].find(number)
            sure = {"answer": number, "score": 0.8, "start": start, "end": start + len(number)}
            none = {"answer": "", "score": 0.01 if number else 0.9, "start": 0, "end": 0}
            said.append([sure, none] if number else [none])
        return said


def test_it_knows_what_is_no_question(shop: Path) -> None:
    with package.Index(shop) as kb:
        assistant = Assistant(kb)
        kinds = {text: assistant(text).kind for text in ("Hello!", "thanks a lot", "Bye", "Can I talk to an operator?")}
    assert list(kinds.values()) == [Kind.GREETING, Kind.THANKS, Kind.GOODBYE, Kind.HAND_OVER]


def test_it_quotes_or_says_that_it_does_not_know(shop: Path) -> None:
    with package.Index(shop) as kb:
        assistant = Assistant(kb)
        known, unknown = assistant("How do I reset my password?"), assistant("Who is the king of France?")
    assert known.kind is Kind.ANSWER
    assert known.answer is not None
    assert known.answer.hit is not None
    assert known.answer.hit.path == "shop/faq.csv"
    assert unknown.kind is Kind.SILENCE


def test_a_follow_up_is_completed_from_the_last_question(shop: Path) -> None:
    reader: Any = Finder()
    with package.Index(shop) as kb:
        assistant = Assistant(kb, reader=reader)
        first, second = assistant("Within how many days may I return an item?"), assistant("and shoes?")
        assert (first.text, second.text) == ("30", "14")


def test_intents_come_first_and_their_fallback_leads_to_the_documents(shop: Path) -> None:
    def intents(text: str) -> list[dict[str, str]]:
        return [{"label": "cancel" if "cancel" in text else "oos"}]

    intents.task = SimpleNamespace(fallback="oos")  # type: ignore[attr-defined]
    model: Any = intents
    with package.Index(shop) as kb:
        assistant = Assistant(kb, intents=model)
        assert assistant("please cancel my order").intent == "cancel"
        assert assistant("How do I reset my password?").kind is Kind.ANSWER


def test_the_command_line(shop: Path, albert: Albert) -> None:
    done = albert("chat", shop, input="Hello\nHow do I reset my password?\nWho is the king?\n")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Hello")
    assert "link that works" in lines[1]
    assert lines[2].strip() == "shop/faq.csv:1"
    assert "do not know" in lines[3]
