"""Passages are whole sentences of one section, in order, with nothing lost."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from albert.documents.extracted import Extracted, Heading
from albert.documents.passages import WORDS, passages


def test_sentences_are_gathered_and_headings_divide() -> None:
    sentence = "The lamp that you bought is sent on the next working day. "
    text = "Shipping\n\n" + sentence * 20 + "\n\nReturns\n\nWithin 30 days."
    headings = (Heading(0, 1, "Shipping"), Heading(text.index("Returns"), 1, "Returns"))
    found = passages(Extracted(text, headings=headings))
    assert [p.heading for p in found] == ["Shipping"] * (len(found) - 1) + ["Returns"]
    assert all(len(text[p.start : p.end].split()) <= WORDS for p in found)
    assert all(text[p.start : p.end].endswith(".") for p in found)
    assert len(found) == 4


def test_a_sentence_without_end_is_divided_between_words() -> None:
    text = "word " * 1000
    found = passages(Extracted(text))
    assert len(found) == 5
    assert " ".join(text[p.start : p.end] for p in found).split() == text.split()


@given(st.text(st.sampled_from("ab .!?\n\t\u2028é日👍"), max_size=400))
def test_every_word_is_in_one_passage(text: str) -> None:
    found = passages(Extracted(text))
    assert all(0 <= p.start < p.end <= len(text) for p in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert "".join("".join(text[p.start : p.end].split()) for p in found) == "".join(text.split())
