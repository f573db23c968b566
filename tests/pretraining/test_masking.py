"""n-gram masking of whole words: every proportion, every bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.config import CLS_ID, MASK_ID, PAD_ID, SEP_ID
from albert.pretraining.masking import choose_words, mask_words
from albert.text.tokenizer import AlbertTokenizer
from albert.text.words import word_starts

VOCAB = 1000
ALL_START = np.ones(VOCAB, bool)  # every piece a word
THIRD_STARTS = np.arange(VOCAB) % 3 == 0  # words of one to many pieces


def rows_of(count: int, length: int, *, seed: int = 0) -> np.ndarray:
    """[CLS] pieces [SEP] pieces [SEP], then padding in every other row."""
    ids = np.random.default_rng(seed).integers(5, VOCAB, (count, length))
    ids[:, 0] = CLS_ID
    ids[:, length // 2] = SEP_ID
    ids[:, -1] = SEP_ID
    ids[::2, -5:] = [SEP_ID, PAD_ID, PAD_ID, PAD_ID, PAD_ID]
    return ids


def choose(ids: np.ndarray, starts: np.ndarray = ALL_START, **options: float) -> np.ndarray:
    settings = {"rate": 0.15, "max_ngram": 3, **options}
    return choose_words(ids, starts, np.arange(len(ids)), (0, 0), **settings)  # type: ignore[arg-type]


def test_eighty_ten_ten() -> None:
    ids = rows_of(2000, 128)
    masked = mask_words(ids, ALL_START, np.arange(2000), (0, 0), rate=0.15, max_ngram=3)
    now = masked.input_ids.reshape(-1)[masked.positions]
    assert np.array_equal(ids.reshape(-1)[masked.positions], masked.ids)
    assert (now == MASK_ID).mean() == pytest.approx(0.8, abs=0.01)
    assert (now == masked.ids).mean() == pytest.approx(0.1, abs=0.01)
    other = now[(now != MASK_ID) & (now != masked.ids)]
    assert len(other) / len(now) == pytest.approx(0.1, abs=0.01)
    assert other.min() >= 5
    assert np.histogram(other, 10, (5, VOCAB))[0].std() < 0.1 * len(other) / 10  # uniform over the vocabulary
    untouched = np.delete(masked.input_ids.reshape(-1), masked.positions)
    assert np.array_equal(untouched, np.delete(ids.reshape(-1), masked.positions))


@pytest.mark.parametrize("rate", [0.15, 0.3, 0.4])
def test_the_share_is_exact_where_every_piece_is_a_word(rate: float) -> None:
    ids = rows_of(400, 128)
    hidden = choose(ids, rate=rate)
    assert np.array_equal(hidden.sum(1), np.rint(rate * (ids != PAD_ID).sum(1)).astype(int))


def test_the_share_nearly_holds_for_long_words() -> None:
    ids = rows_of(400, 128)
    share = choose(ids, THIRD_STARTS).sum() / (ids != PAD_ID).sum()
    assert 0.14 < share <= 0.151


def test_a_cap_holds() -> None:
    assert choose(rows_of(100, 128), max_masked=7).sum(1).tolist() == [7] * 100


def test_lengths_of_ngrams_are_drawn_in_inverse_proportion() -> None:
    """Three pieces to hide: 3 at once with p 2/11; 1 + 1 + 1 with (6/11)^2; else 2 + 1 in either order."""
    ids = np.random.default_rng(0).integers(5, VOCAB, (20_000, 400))
    hidden = choose(ids, rate=3 / 400)
    runs = np.diff(np.pad(hidden.astype(int), ((0, 0), (1, 1))), axis=1) == 1
    count = np.bincount(runs.sum(1), minlength=4) / len(ids)
    merged = 0.02  # n-grams that fell side by side
    assert count[1] == pytest.approx(2 / 11, abs=merged)
    assert count[2] == pytest.approx(3 / 11 + 6 / 11 * 5 / 11, abs=merged)
    assert count[3] == pytest.approx((6 / 11) ** 2, abs=merged)


def test_every_place_is_equally_likely() -> None:
    ids = np.random.default_rng(0).integers(5, VOCAB, (20_000, 60))
    shares = choose(ids).mean(0)[3:-3]  # fewer n-grams reach the ends
    assert shares.min() > 0.13
    assert shares.max() < 0.17


@given(
    seed=st.integers(0, 10_000),
    length=st.integers(6, 60),
    rate=st.floats(0.05, 0.6),
    max_ngram=st.integers(1, 5),
    every=st.integers(1, 6),
)
def test_whole_words_and_no_special_pieces(seed: int, length: int, rate: float, max_ngram: int, every: int) -> None:
    ids = rows_of(8, length + 6, seed=seed)
    starts = np.arange(VOCAB) % every == 0
    hidden = choose(ids, starts, rate=rate, max_ngram=max_ngram)
    usable = ~np.isin(ids, [PAD_ID, CLS_ID, SEP_ID])
    assert not (hidden & ~usable).any()
    assert (hidden.sum(1) <= np.maximum(1, np.rint(rate * (ids != PAD_ID).sum(1)))).all()
    for row in range(len(ids)):
        for column in range(1, ids.shape[1]):
            continues = usable[row, column] and usable[row, column - 1] and not starts[ids[row, column]]
            if continues:
                assert hidden[row, column] == hidden[row, column - 1]


@given(seed=st.integers(0, 10_000), width=st.integers(1, 7))
def test_a_row_does_not_depend_on_its_company(seed: int, width: int) -> None:
    ids = rows_of(8, 40, seed=seed)
    numbers = np.arange(100, 108)
    whole = mask_words(ids, THIRD_STARTS, numbers, (3, 1), rate=0.2, max_ngram=3).input_ids
    padded = np.pad(ids[:width], ((0, 0), (0, 9)))
    part = mask_words(padded, THIRD_STARTS, numbers[:width], (3, 1), rate=0.2, max_ngram=3).input_ids
    assert np.array_equal(whole[:width], part[:, :40])


def test_epochs_seeds_and_rows_differ() -> None:
    ids = np.repeat(rows_of(2, 128)[:1], 2, 0)
    draws = [
        mask_words(ids, ALL_START, np.array(rows), key, rate=0.15, max_ngram=3).input_ids
        for rows, key in (([0, 1], (0, 0)), ([0, 1], (0, 1)), ([0, 1], (1, 0)))
    ]
    assert not np.array_equal(draws[0][0], draws[0][1])
    assert not np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_words_of_the_english_vocabulary(tokenizer: AlbertTokenizer) -> None:
    starts = word_starts(tokenizer.vocabulary)
    pieces = tokenizer.tokenize("Unbelievably, monseigneur's flibbertigibbets (2nd) ran.")
    words: list[str] = []
    for piece in pieces:
        if starts[tokenizer.id_of(piece)]:
            words.append(piece)
        else:
            words[-1] += piece
    assert [w.replace("▁", "") for w in words if w != "▁"][:3] == ["unbelievably", ",", "monseigneur"]
    assert "".join(words).count("flibbertigibbets") == 1
    assert any(word.endswith("flibbertigibbets") for word in words)


def test_pieces_of_scripts_without_spaces_are_words() -> None:
    assert word_starts(["▁word", "ing", ",", "東", "京都", "ไทย", "ов", "2"]).tolist() == [
        True, False, True, True, True, True, False, False,
    ]  # fmt: skip
