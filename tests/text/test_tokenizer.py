from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from albert.errors import AlbertError, ErrorKind
from albert.text.normalize import Normalizer
from albert.text.tokenizer import AlbertTokenizer, Encoding

ENGLISH = AlbertTokenizer.english()
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
PLAIN_WORDS = st.lists(st.text("abcdefghijklmnopqrstuvwxyz.-()", min_size=1, max_size=9), min_size=1, max_size=8)


# --- offsets -------------------------------------------------------------------------------------------


@given(ANY_TEXT)
def test_offsets_are_in_bounds_and_never_go_back(text: str) -> None:
    pieces = ENGLISH.pieces([text])[0]
    last = 0
    for start, end in pieces.offsets.tolist():
        assert 0 <= start <= end <= len(text)
        assert start >= last
        last = start


@given(ANY_TEXT)
def test_normalised_offsets_cover_exactly_what_was_read(text: str) -> None:
    normalized = Normalizer()(text)
    assert normalized.text == Normalizer().text(text)
    for index, char in enumerate(normalized.text):
        start, end = normalized.span(index, index + 1)
        assert 0 <= start < end <= len(text)
        source = Normalizer().text(text[start:end])
        # A run of white space stands for one space, and "ς" is a final sigma only in its word.
        assert char == " " or char in source or (char in "σς" and source in "σς")


@given(st.lists(st.sampled_from(["Über", "naïve", "café", "Zürich,", "1,024,", "ﬁne", "İstanbul", "(ok)"]), min_size=1))
def test_a_piece_normalises_from_its_own_span(words: list[str]) -> None:
    text = "  ".join(words)
    encoding = ENGLISH(text)
    for token, (start, end), sequence in zip(encoding.input_ids, encoding.offsets, encoding.sequence_ids, strict=True):
        if sequence is not None and token != 1:
            piece = ENGLISH.vocabulary[token].lstrip("▁")
            assert piece in Normalizer().text(text[start:end])


@given(PLAIN_WORDS)
def test_plain_text_survives_the_round_trip(words: list[str]) -> None:
    text = " ".join(words)
    assert ENGLISH.decode(ENGLISH(text).input_ids) == text


@given(PLAIN_WORDS)
def test_word_ids_are_the_words_of_the_text(words: list[str]) -> None:
    text = " ".join(words)
    encoding = ENGLISH(text)
    rebuilt: dict[int, list[int]] = {}
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        if word is not None:
            span = rebuilt.setdefault(word, [start, end])
            span[1] = end
    assert [text[start:end] for start, end in rebuilt.values()] == words


def test_accents_and_combining_marks_belong_to_their_letter() -> None:
    text = "a cafe\u0301 opens"
    encoding = ENGLISH(text)
    spans = [text[s:e] for (s, e), w in zip(encoding.offsets, encoding.word_ids, strict=True) if w == 1]
    assert "".join(spans) == "cafe\u0301"


def test_a_lone_surrogate_is_bad_data() -> None:
    with pytest.raises(AlbertError, match="lone surrogate") as caught:
        ENGLISH("bad \ud800 text")
    assert caught.value.kind is ErrorKind.DATA


# --- special tokens, types, digits ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["[CLS]", "[SEP]", "[MASK]", "<pad>", "<unk>"])
def test_text_cannot_spell_a_special_token(name: str) -> None:
    ids = ENGLISH(f"say {name} now {name}").input_ids
    assert not {0, 2, 3, 4} & set(ids[1:-1])


def test_a_pair_has_types_and_sequence_ids() -> None:
    encoding = ENGLISH("who was it?", "it was ada")
    second = encoding.token_type_ids.index(1)
    assert encoding.input_ids[0] == 2
    assert encoding.input_ids[second - 1] == encoding.input_ids[-1] == 3
    assert set(encoding.token_type_ids[second:]) == {1}
    assert encoding.sequence_ids == [
        None, *[0] * (second - 2), None, *[1] * (len(encoding) - second - 1), None
    ]  # fmt: skip
    assert encoding.attention_mask == [1] * len(encoding)


def test_the_digit_comma_rule_splits_the_comma_off() -> None:
    pieces = ENGLISH.tokenize("in 1999, 2,500, and 9,")
    assert not any(len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit() for piece in pieces)
    text = "in 1999, yes"
    encoding = ENGLISH(text)
    assert "," in [text[s:e] for s, e in encoding.offsets]


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\u0301"])
def test_empty_text_is_the_two_special_tokens(text: str) -> None:
    assert ENGLISH(text).input_ids == [2, 3]


# --- ids alone -----------------------------------------------------------------------------------------


def with_digit_commas() -> AlbertTokenizer:
    """Our vocabulary with pieces like those that Google's digit-comma rule takes apart."""
    model = sentencepiece_model_pb2.ModelProto.FromString(ENGLISH.model)
    for index, piece in enumerate(("9,", "▁1999,", "0,", "▁2,", "24,"), 1):
        model.pieces[-index].piece = piece
        model.pieces[-index].score = -1.0
    return AlbertTokenizer(model.SerializeToString())


COMMAS = with_digit_commas()
MIXED = ANY_TEXT | st.lists(st.sampled_from(["1999,", "2,", "1,024,", "9,9,", "x", " ", "٣,", "[CLS]"])).map(" ".join)


BOTH = pytest.mark.parametrize("tokenizer", [ENGLISH, COMMAS], ids=["english", "commas"])


@BOTH
@given(texts=st.lists(MIXED, min_size=1, max_size=3), limit=st.integers(8, 30))
def test_rows_without_offsets_are_the_same(tokenizer: AlbertTokenizer, texts: list[str], limit: int) -> None:
    items = [*texts, (texts[0], texts[-1])]
    for windows in (False, True):
        placed, bare = (rows_of(tokenizer, items, limit, windows=windows, offsets=offsets) for offsets in (True, False))
        assert bare == [replace(row, offsets=[], word_ids=[], sequence_ids=[]) for row in placed]


def rows_of(
    tokenizer: AlbertTokenizer, items: list[Any], limit: int, *, windows: bool, offsets: bool
) -> list[Encoding]:
    if not windows:
        return tokenizer.encode_batch(items, max_length=limit, offsets=offsets)
    return [row for rows in tokenizer.windows(items, max_length=limit, stride=2, offsets=offsets) for row in rows]


@BOTH
@given(texts=st.lists(MIXED, max_size=5))
def test_ids_alone_are_those_of_the_pieces(tokenizer: AlbertTokenizer, texts: list[str]) -> None:
    assert [row.tolist() for row in tokenizer.ids(texts)] == [row.ids.tolist() for row in tokenizer.pieces(texts)]


def test_ids_alone_obey_the_digit_comma_rule() -> None:
    ids = COMMAS.ids(["in 1999, yes"])[0]
    assert COMMAS.id_of("▁1999,") not in ids
    assert COMMAS.decode(ids) == "in 1999, yes"
    with pytest.raises(AlbertError, match="lone surrogate"):
        COMMAS.ids(["fine", "bad \ud800 text"])


# --- length ----------------------------------------------------------------------------------------------


@given(PLAIN_WORDS, PLAIN_WORDS, st.integers(3, 30))
def test_truncation_fits_and_counts_what_it_cut(first: list[str], second: list[str], limit: int) -> None:
    whole = ENGLISH(" ".join(first), " ".join(second), max_length=512)
    cut = ENGLISH(" ".join(first), " ".join(second), max_length=limit)
    assert len(cut) == min(limit, len(whole))
    assert cut.cut == len(whole) - len(cut)


def test_a_cut_that_is_not_possible_says_so() -> None:
    with pytest.raises(AlbertError, match="longest_first") as caught:
        ENGLISH("a b c", "d e f", max_length=4, truncation="only_first")
    assert caught.value.kind is ErrorKind.DATA
    with pytest.raises(AlbertError):
        ENGLISH("a b c", max_length=3, truncation="error")


@given(st.integers(1, 60), st.integers(6, 20), st.integers(0, 3))
def test_windows_leave_nothing_out(count: int, limit: int, stride: int) -> None:
    text = " ".join(f"w{i}" for i in range(count))
    pieces = ENGLISH.pieces([text])[0]
    windows = ENGLISH.windows([text], max_length=limit, stride=stride)[0]
    seen: list[tuple[int, int]] = []
    for number, window in enumerate(windows):
        assert len(window) <= limit
        assert window.window == number
        spans = [o for o, s in zip(window.offsets, window.sequence_ids, strict=True) if s is not None]
        seen.extend(spans if number == 0 else spans[stride:])
    assert seen == [tuple(span) for span in pieces.offsets.tolist()]


def test_windows_of_a_pair_keep_the_question_whole() -> None:
    windows = ENGLISH.windows([("where is it", "it moves " * 40)], max_length=24, stride=4)[0]
    question = ENGLISH("where is it").input_ids
    assert len(windows) > 3
    assert all(window.input_ids[: len(question)] == question for window in windows)
    with pytest.raises(AlbertError, match="stride"):
        ENGLISH.windows([("where is it", "it moves " * 40)], max_length=8, stride=8)


# --- files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalizer", [Normalizer(), Normalizer(lower=False), Normalizer(keep_accents=True)])
def test_saved_and_loaded_gives_the_same(tmp_path: Path, normalizer: Normalizer) -> None:
    tokenizer = AlbertTokenizer(ENGLISH.model, normalizer=normalizer, max_length=64)
    tokenizer.save(tmp_path)
    again = AlbertTokenizer.from_pretrained(tmp_path)
    assert again.normalizer == normalizer
    assert again.max_length == 64
    text = "Ünï code, 1,000, (x)"
    assert again(text) == tokenizer(text)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("spiece.model", b""),
        ("spiece.model", b"\x00\x01garbage"),
        ("spiece.model", ENGLISH.model[:5000]),
        ("spiece.model", ENGLISH.model.replace(b"[MASK]", b"[M\xc1SK]", 1)),
        ("spiece.model", ENGLISH.model.replace("▁the".encode(), "▁".encode() + b"th\xe5", 1)),
        ("tokenizer.json", b"{"),
        ("tokenizer.json", b"[]"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {}}}'),
        ("tokenizer.json", b'{"model": {"type": "Unigram", "vocab": []}}'),
        ("readme.txt", b"nothing here"),
    ],
)
def test_broken_files_are_one_clear_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AlbertError) as caught:
        AlbertTokenizer.from_pretrained(tmp_path)
    assert caught.value.kind is ErrorKind.MODEL


def test_encodings_compare_by_value() -> None:
    assert isinstance(ENGLISH("x"), Encoding)
    assert ENGLISH("same") == ENGLISH("same")
