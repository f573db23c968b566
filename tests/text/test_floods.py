"""Texts that Unicode's normal forms take long for: every tokenizer reads them in linear time."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.audit.labels import _spelling_key
from albert.text.encodings import Tokenizer
from albert.text.hardening.hardener import MOST_MARKS, Hardening, without_floods
from albert.text.normalize import Normalizer
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import accents_lost
from albert.text.wordpiece import WordPieceTokenizer, build_pipeline

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "lamp"]
KINDS = {
    "published": lambda model: AlbertTokenizer(model),
    "accents": lambda model: AlbertTokenizer(model, normalizer=Normalizer(keep_accents=True)),
    "hardened": lambda model: AlbertTokenizer(model, hardening=Hardening(whole_words=True)),
    "bert": lambda _: WordPieceTokenizer(build_pipeline(WORDS)),
    "bert-cased": lambda _: WordPieceTokenizer(build_pipeline(WORDS, lower=False)),
    "bert-hardened": lambda _: WordPieceTokenizer(build_pipeline(WORDS), hardening=Hardening()),
}
BYTES = 256_000
FLOODS = {
    "two classes": "\u0301\u0316",
    "marks of many classes": "\u0301\u0316\u0327\u0345\u05b0\u0f71\u3099",
    "Tibetan vowels that are marks in pairs": "\u0f81\u0f73\u0f75",
    "a mark that is two": "\u0344\u0316",
    "marks beyond U+FFFF": "\U0001d165\U0001d16e",
    "runs just below what is too many": "a" + "\u0301\u0316" * 14,
    "Hangul letters": "\u1100\u1161\u11a8",
    "Hangul syllables": "\uac01",
    "letters that become eighteen, then marks": "\ufdfa\ufdfa" + "\u0316\u0301" * 500,
    "capital sigmas": "Σ'",
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tokenizer: AlbertTokenizer) -> Tokenizer:
    return KINDS[request.param](tokenizer.model)


def flood(unit: str, size: int = BYTES) -> str:
    return "a" + unit * (size // len(unit.encode()))


def seconds_of(work: object) -> float:
    begun = time.process_time()
    assert callable(work)
    work()
    return time.process_time() - begun


@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS)
def test_a_flood_takes_no_longer_than_other_texts(kind: Tokenizer, unit: str) -> None:
    """Half a minute and more where normalisation sorted the marks, with the interpreter held."""
    text = flood(unit)
    assert seconds_of(lambda: kind.pieces([text])) < 3
    assert seconds_of(lambda: kind.ids([text])) < 3


def test_offsets_of_a_flood_point_into_the_text(kind: Tokenizer) -> None:
    text = "a" + "\u0301\u0316" * 5000 + " a \ufdfa lamp"
    pieces = kind.pieces([text])[0]
    assert all(0 <= start <= end <= len(text) for start, end in pieces.offsets.tolist())
    start, end = pieces.offsets[-1].tolist()
    assert text[start:end] in ("lamp", "p", "mp", "amp")
    assert end == len(text)


@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS)
def test_vocabularies_and_audits_bear_floods(unit: str) -> None:
    text = flood(unit)
    assert seconds_of(lambda: Normalizer().text(text)) < 1
    assert seconds_of(lambda: accents_lost([text])) < 1
    assert seconds_of(lambda: _spelling_key(text)) < 1


def google(text: str) -> str:
    """preprocess_text of google-research/albert."""
    text = unicodedata.normalize("NFKD", " ".join(text.split()))
    return "".join(char for char in text if not unicodedata.combining(char)).lower()


@given(
    st.text(max_size=60)
    | st.text(st.sampled_from("aΣσ'\u0301\u0316\u0345\u0344\u0f73\ufdfa각\u1100\u1161İſ "), max_size=60)
)
def test_normalisation_is_googles(text: str) -> None:
    assert Normalizer().text(text) == google(text)
    assert Normalizer()(text).text == google(text)


@pytest.mark.ci
def test_every_character_is_normalised_as_google_does() -> None:
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
    for start in range(0, len(every), 4096):
        part = every[start : start + 4096]
        assert Normalizer().text(part) == google(part)


def test_what_languages_write_is_no_flood() -> None:
    for text in ("é" + "\u0301" * (MOST_MARKS - 1), "שָׁלוֹם", "Z̷̢̛̰a̶l̴g̸o", "ཨོཾ་མ་ཎི་པདྨེ་ཧཱུྃ", "각"):
        assert without_floods(text) == text
    assert without_floods("a" + "\u0301\u0316" * 100 + "b") == "a" + "\u0301\u0316" * (MOST_MARKS // 2) + "b"
