"""Answers over several passages: which one counts, where it stands, when there is none. The reader is a stand-in."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import albert
from albert.documents.answers import read
from albert.documents.search import Hit
from albert.documents.summaries import summary
from albert.errors import AlbertError, ErrorKind
from conftest import ROOT


def hit(number: int, text: str, answer: str | None = None) -> Hit:
    return Hit(number, f"{number}.txt", "", "", text, 100, 100 + len(text), 1, None, 1 / number, number, answer=answer,
               bm25=5 - number / 2)  # fmt: skip


class Reader:
    """Says of each text what it was told, and how likely no answer is."""

    def __init__(self, said: dict[str, tuple[str, float, float]]) -> None:
        self.said = said

    def __call__(self, pairs: list[dict[str, str]], **_: Any) -> list[list[dict[str, Any]]]:
        return [
            [
                {"answer": answer, "score": score, "start": pair["context"].index(answer),
                 "end": pair["context"].index(answer) + len(answer)},
                {"answer": "", "score": null, "start": 0, "end": 0},
            ]
            for pair in pairs
            for answer, score, null in [self.said[pair["context"]]]
        ]  # fmt: skip


FIRST, SECOND = "Open from nine to six.", "Closed on Mondays."


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ((0.6, 0.01), (0.7, 0.01), "nine"),  # the earlier passage counts more
        ((0.1, 0.1), (0.7, 0.01), "Mondays"),
        ((0.2, 0.7), (0.1, 0.8), ""),
    ],
)
def test_the_likeliest_answer_is_given_or_none(
    first: tuple[float, float], second: tuple[float, float], answer: str
) -> None:
    hits = [hit(1, FIRST), hit(2, SECOND)]
    reader: Any = Reader({FIRST: ("nine", *first), SECOND: ("Mondays", *second)})
    found = read("When?", hits, reader)
    assert found.text == answer
    assert found.hit is not None
    if answer:
        assert found.hit.text[found.start - 100 : found.end - 100] == answer
        assert found.score > 0.5
    assert len(found.others) == 1


@pytest.mark.parametrize(
    ("bm25", "answer"), [((9.0, 8.9), "Mondays"), ((20.0, 3.0), "nine"), ((20.0, None), "Mondays")]
)
def test_a_passage_counts_by_the_words_that_it_shares(bm25: tuple[float, float | None], answer: str) -> None:
    hits = [dataclasses.replace(one, bm25=b) for one, b in zip([hit(1, FIRST), hit(2, SECOND)], bm25, strict=True)]
    reader: Any = Reader({FIRST: ("nine", 0.6, 0.01), SECOND: ("Mondays", 0.7, 0.01)})
    assert read("When?", hits, reader).text == answer


def test_passages_are_read_under_their_headings_which_are_no_answers() -> None:
    seen = []

    def reader(pairs: list[dict[str, str]], **_: Any) -> list[list[dict[str, Any]]]:
        (context,) = (pair["context"] for pair in pairs)
        seen.append(context)
        parts = {"Hours": 0.9, "nine": 0.5}
        said = [{"answer": part, "score": score, "start": context.index(part), "end": context.index(part) + len(part)}
                for part, score in parts.items()]  # fmt: skip
        return [[*said, {"answer": "", "score": 0.01, "start": 0, "end": 0}]]

    one = dataclasses.replace(hit(1, FIRST), heading="Hours > Shop")
    model: Any = reader
    answer = read("When?", [one], model)
    assert seen == [f"Hours > Shop: {FIRST}"]
    assert (answer.text, FIRST[answer.start - 100 : answer.end - 100]) == ("nine", "nine")


def test_a_threshold_asks_for_more() -> None:
    reader: Any = Reader({FIRST: ("nine", 0.6, 0.02)})
    assert read("When?", [hit(1, FIRST)], reader, threshold=0.5).found
    assert not read("When?", [hit(1, FIRST)], reader, threshold=0.9).found


def test_a_faq_answers_the_question_that_it_knows() -> None:
    known = hit(1, "How do I reset my password?", "Press Reset.")
    assert read("How can I reset the password?", [known], None).text == "Press Reset."
    assert not read("How do I delete my account?", [known], None).found
    assert read("When?", [], None).hit is None


def test_a_reader_of_another_task_is_refused(tmp_path: Any) -> None:
    other: Any = SimpleNamespace(task=SimpleNamespace(name="ner", pipeline="token-classification"))
    with albert.Index(tmp_path / "kb.db") as kb, pytest.raises(AlbertError, match="question answering") as caught:
        kb.ask("When?", reader=other)
    assert caught.value.kind is ErrorKind.MODEL


def letters(texts: list[str]) -> np.ndarray:
    """Vectors by the letters of a text."""
    counts = np.array([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], np.float64) + 1e-3
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_summaries_are_sentences_of_the_text_whatever_its_length() -> None:
    text = (ROOT / "docs" / "guide" / "pretraining.md").read_text()
    encoder: Any = letters
    chosen = summary(text, encoder, count=7)
    assert len(chosen) == 7
    assert all(text[one.start : one.end] == one.text for one in chosen)
    assert [one.start for one in chosen] == sorted(one.start for one in chosen)
    assert len(summary("One. Two. Three. Four.", encoder, share=0.5)) == 2
    zebras = "The zebra is a zany zoo animal. The cat sat. The dog ran. A car is red."
    assert summary(zebras, encoder, count=1, focus="zzz")[0].text.startswith("The zebra")
    with pytest.raises(AlbertError, match="sentences"):
        summary(" \n ", encoder)
