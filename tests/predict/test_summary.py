from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.predict.summary import Sentence, centrality, diverse, sentences, similarity, summarize


@settings(max_examples=50)
@given(st.text(alphabet=st.sampled_from("abc .!?\n\"'é日。 "), max_size=120))
def test_sentences_stand_where_they_say(text: str) -> None:
    found = sentences(text)
    assert all(text[part.start : part.end] == part.text == part.text.strip() != "" for part in found)
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))


def test_no_word_is_left_out() -> None:
    text = "Dr. Smith paid 3.50 for it. He left!  Then it rained, e.g. all day.\n\nThe end"
    assert " ".join(part.text for part in sentences(text)).split() == text.split()
    assert len(sentences(text)) == 4


def test_the_centre_is_what_others_are_like() -> None:
    topic, other = np.eye(4)[0], np.eye(4)[1]
    vectors = np.stack([topic, topic + 0.1 * other, topic - 0.1 * np.eye(4)[2], other, np.eye(4)[3]])
    scores = centrality(vectors)
    assert scores.sum() == pytest.approx(1)
    assert scores[:3].min() > scores[3:].max()


def test_what_was_said_already_is_not_said_again() -> None:
    one, two = np.eye(6)[0], np.eye(6)[1]
    noise = 0.05 * np.eye(6)[2:]
    vectors = np.stack([one, one + noise[0], one + noise[1], two, two + noise[2], two + noise[3]])
    alike = similarity(vectors)
    first, second = diverse(centrality(vectors), alike, 2)
    assert (first < 3) != (second < 3)


def test_a_summary_keeps_the_order_of_the_text() -> None:
    parts = [Sentence(f"s{i}", 3 * i, 3 * i + 2) for i in range(6)]
    vectors = np.random.default_rng(0).normal(size=(6, 8))
    chosen = summarize(parts, vectors, 3)
    assert [part.start for part in chosen] == sorted(part.start for part in chosen)
    assert len(chosen) == 3
    assert summarize([], np.zeros((0, 8)), 3) == []
    assert len(summarize(parts[:2], vectors[:2], 5)) == 2
