"""Words that must occur: every text has them, and a wide beam finds what trying all texts finds."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_search import ALPHABET, build, close, next_scores, sources

from albert.errors import AlbertError, ErrorKind
from albert.generation import GenerationOptions, Hypothesis, begin
from albert.generation.rules import Forced
from albert.generation.words import Words
from albert.model import AlbertForText2Text
from albert.text.tokenizer import AlbertTokenizer

Pieces = tuple[int, ...]


def write(
    model: AlbertForText2Text,
    rows: list[list[int]],
    *words: Pieces,
    count: int = 1,
    prefix: Pieces = (),
    **options: Any,
) -> list[list[Hypothesis]]:
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    options = GenerationOptions(**{"max_length": 12, **options})  # type: ignore[assignment]
    return begin(model, ids, mask, torch.zeros_like(ids), alphabet=ALPHABET, prefix=prefix, words=words, count=count,
                 options=options).run()  # type: ignore[arg-type]  # fmt: skip


def occurs(word: Pieces, pieces: Pieces) -> bool:
    return any(pieces[at : at + len(word)] == word for at in range(len(pieces) - len(word) + 1))


some_words = st.lists(st.lists(st.integers(5, 9), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3)


@settings(max_examples=40)
@given(some_words, st.integers(1, 5), st.integers(0, 20), st.integers(0, 3), st.booleans())
def test_every_text_has_all_words(words: list[Pieces], beam: int, seed: int, spare: int, early: bool) -> None:
    """Also where there is hardly room for them, and where one is a part of another or comes twice."""
    room = sum(map(len, words)) + spare
    found = write(build(vocab=10, seed=seed), sources([3, 6], vocab=10, seed=seed), *words, beam=beam, count=beam,
                  early_stop=early, max_length=room)  # fmt: skip
    for answers in found:
        assert 1 <= len(answers) <= beam
        assert len({one.pieces for one in answers}) == len(answers)
        assert [one.rank for one in answers] == sorted(one.rank for one in answers)
        for one in answers:
            assert len(one.pieces) <= room
            assert all(occurs(word, one.pieces) for word in words), (words, one)


@settings(max_examples=100)
@given(some_words, st.lists(st.integers(5, 9), max_size=12))
def test_states_are_what_a_text_ends_with(words: list[Pieces], text: list[int]) -> None:
    automata = Words(words, 10)
    states = automata.start(1)
    for piece in text:
        states = automata.after(states, np.array([piece]))
    for word, state in zip(words, states[0].tolist(), strict=True):
        ends = [n for n in range(len(word) + 1) if tuple(text[len(text) - n :]) == word[:n]]
        assert state == (len(word) if occurs(word, tuple(text)) else max(ends))
    written, missing = list(text), int(automata.missing(states)[0])
    while automata.missing(states)[0]:
        _, pieces = automata.steps(states)
        after = automata.after(states.repeat(len(pieces), 0), pieces)
        best = int(automata.missing(after).argmin())
        states, written = after[best : best + 1], [*written, int(pieces[best])]
    assert len(written) - len(text) <= missing
    assert all(occurs(word, tuple(written)) for word in words)


@pytest.mark.parametrize("word", [(5,), (6, 5), (7, 7)])
def test_a_wide_beam_finds_the_best_texts_that_have_the_word(word: Pieces) -> None:
    model, row = build(vocab=8, seed=5), sources([4], vocab=8)[0]
    tried = []
    for length in (1, 2, 3):
        for pieces in itertools.product((5, 6, 7), repeat=length):
            if occurs(word, pieces):
                steps = [float(next_scores(model, row, list(pieces[:n]))[p]) for n, p in enumerate((*pieces, 3))]
                tried.append((sum(steps) / (length + 1), pieces))
    best = [pieces for _, pieces in sorted(tried, reverse=True)]
    found = write(model, [row], word, beam=60, count=3, max_length=3, early_stop=False)[0]
    assert [one.pieces for one in found] == best[:3]


def test_a_word_that_would_come_anyway_changes_nothing() -> None:
    model, rows = build(seed=3), sources([4])
    free = write(model, rows, beam=8, early_stop=False)[0][0]
    assert len(free.pieces) > 2
    assert close(write(model, rows, free.pieces[1:2], beam=8, early_stop=False)[0][0], free)


def test_a_text_gets_the_same_answers_in_any_batch() -> None:
    model, rows, words = build(seed=3), sources([9, 1, 4, 7]), [(11, 12), (30,)]
    together = write(model, rows, *words, beam=4, count=3)
    alone = [write(model, [row], *words, beam=4, count=3)[0] for row in rows]
    for ours, theirs in zip(together, alone, strict=True):
        assert len(ours) == len(theirs)
        assert all(map(close, ours, theirs))


def test_a_beginning_counts() -> None:
    """It leaves less room, and may have begun a word."""
    for found in write(build(seed=1), sources([4, 7]), (9, 10), (8,), prefix=(30, 9), max_length=5, beam=2, count=2):
        for one in found:
            assert one.pieces[:2] == (30, 9)
            assert occurs((9, 10), one.pieces)
            assert occurs((8,), one.pieces)


# --- options ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"words": "one"}, {"words": 5}, {"words": ("a", " ")}, {"words": (1,)}, {"words": ("a",), "sample": True},
     {"words": ("a",), "no_repeat_ngram": 2}],
)  # fmt: skip
def test_words_that_cannot_be_looked_for_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(AlbertError, match="words: expected") as caught:
        GenerationOptions(**options)
    assert caught.value.kind is ErrorKind.USAGE


def test_words_are_spelled(tokenizer: AlbertTokenizer) -> None:
    plain = tokenizer.with_hardening(None)
    forced = Forced.of(GenerationOptions(words=["a house", "green"], prefix="the"), plain, room=20)
    assert [tokenizer.decode(word) for word in forced.words] == ["a house", "green"]
    assert tokenizer.decode(forced.prefix) == "the"
    for words, told in ((("a \U0001f9ff",), "words 'a .*characters that the vocabulary has"),
                        (("house",) * 20, "words: expected at most 9 pieces altogether, got 20"),
                        (("house",) * 64, "words: expected at most 63 pieces altogether, got 64")):  # fmt: skip
        room = 10 if len(words) < 64 else 200
        with pytest.raises(AlbertError, match=told):
            Forced.of(GenerationOptions(words=words, prefix="the"), plain, room=room)
