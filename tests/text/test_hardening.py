"""Hostile text: each rule, the map into the original, and that clean text keeps every token."""

from __future__ import annotations

import json
import random
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.errors import AlbertError, ErrorKind
from albert.text.hardening.bidi import CONTROLS, displayed
from albert.text.hardening.hardener import MOST_MARKS, Hardened, Hardener, Hardening
from albert.text.hardening.lookalikes import mixed_words
from albert.text.normalize import Normalizer
from albert.text.tokenizer import AlbertTokenizer
from conftest import ROOT

ENGLISH = AlbertTokenizer.english()
HARD = ENGLISH.with_hardening(Hardening())
CLEAN = sorted((ROOT / "recipes" / "clean_texts").glob("*.txt"))


def harden(text: str, *, whole_words: bool = False) -> Hardened:
    return Hardener(Hardening(whole_words=whole_words), spell=ENGLISH.spelling)(text)


# --- rules -----------------------------------------------------------------------------------------------

SWAPPED = "\u202d\u2066\u202e\u2066{}\u2069\u2066{}\u2069\u2069\u202c\u2069\u202c"  # shows the second one first


@pytest.mark.parametrize(
    ("text", "expected", "rule"),
    [
        ("a\x00b\x1bc\x7f", "abc", "control"),
        ("vi\u200bagra", "viagra", "invisible"),
        ("so\u00adft", "soft", "invisible"),
        ("free\U000e0041\U000e0042 now", "free now", "invisible"),
        ("f\ufe0fr\U000e0101ee", "free", "invisible"),
        ("a\u3164b\uffa0", "ab", "invisible"),
        ("c\u200dli\u200cck", "click", "invisible"),
        ("☺\U000e0141\U000e0142", "☺\U000e0141", "invisible"),
        ("pay\u200epal", "paypal", "bidi"),
        ("see \u202etxet\u202c here", "see text here", "reordered"),
        (f"g{SWAPPED.format('e', 'r')}at", "great", "reordered"),
        (f"room {SWAPPED.format('2', '1')}5", "room 125", "reordered"),
        ("gop\bod", "good", "backspace"),
        ("\b\bab", "ab", "backspace"),
        ("x\n\by", "x\ny", "backspace"),
        ("pаypal", "paypal", "lookalike"),
        ("раypal", "paypal", "lookalike"),
        ("a fine moviе", "a fine movie", "lookalike"),
        ("привeт всем", "привет всем", "lookalike"),
        ("pαypal", "paypal", "lookalike"),
        ("are yoυ feeӏing all right", "are you feeling all right", "lookalike"),
        ("ᴘᴀʏᴘᴀʟ", "PAYPAL", "lookalike"),
        ("🅿🅰🆈 now", "pay now", "styled"),
    ],
)
def test_a_rule_does_and_counts(text: str, expected: str, rule: str) -> None:
    hardened = harden(text)
    assert (hardened.text, hardened.counts[rule] > 0) == (expected, True)


@pytest.mark.parametrize(
    "text",
    [
        "СССР", "сор и хор", "SMSки", "PRом", "GPRSа тут нет совсем", "10 µm", "4 kΩ", "ΔT", "TNFα", "Cα", "hν", "λx",
        "łøđßı", "/bɪt/", "ɡɪv", "🅿️", "❤️ 1️⃣", "👨‍👩‍👧", "می‌خواهم", "क्‍ष", "ไทย\u200bภาษา", "Tシャツ", "漢\U000e0100字",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "h3ll0 w0rld", "a\tb\r\nc", "1 000 €",
    ],
)  # fmt: skip
def test_what_is_genuine_stays(text: str) -> None:
    assert harden(text).text == text


def test_a_mixed_word_that_cannot_be_folded_is_flagged() -> None:
    text = "a new Twitterа, это да"  # an ending, or a trick: folded it has as many pieces
    assert (harden(text).text, harden(text).counts) == (text, {"mixed": 1})
    assert mixed_words("plain text, СССР, SMSки, pаypal") == ["pаypal"]


def test_whole_words_need_the_option_and_a_latin_text() -> None:
    text = "please send а message to the bank about my new card"
    assert harden(text).text == text
    assert harden(text, whole_words=True).text == text.replace("а", "a")
    russian = "а он пошёл домой"
    assert harden(russian, whole_words=True).text == russian


def test_marks_are_capped_and_expansion_is_bounded() -> None:
    flood = harden("x" + "\u0323\u0301" * 500 + "y").text
    assert flood == "x" + "\u0323\u0301" * (MOST_MARKS // 2) + "y"
    blessed = "قال \ufdfa شيئا"
    assert harden(blessed).text == blessed
    assert len(unicodedata.normalize("NFKD", harden("\ufdfa" * 500 + "end").text)) < 100
    halfwidth = harden("\uff9e\u0301" * 500).text  # NFKD makes a sorted mark of U+FF9E, too
    assert len(halfwidth) == MOST_MARKS


def test_a_lone_surrogate_is_bad_data() -> None:
    with pytest.raises(AlbertError, match="lone surrogate") as caught:
        HARD("pаypal \ud800")
    assert caught.value.kind is ErrorKind.DATA


# --- the map ---------------------------------------------------------------------------------------------

ODD = (
    "\u200b\u200d\u00ad\ufe0f\u202e\u202d\u202c\u2066\u2067\u2068\u2069\u200e\b\x00\x1f\n\u0301\u0323\u034f\u115f\u3164"
    "\ufdfa\uff9e\U000e0041\U000e0101🏴👨🅿ᴘɪаеорсутΑοα한ไम1א"
)
HOSTILE = st.lists(st.sampled_from([*ODD, *"abcpayl", "и", " ", "\u0301" * 20]), max_size=40).map("".join)
ANY = HOSTILE | st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@given(ANY)
def test_the_map_is_monotone_in_bounds_and_never_empty(text: str) -> None:
    hardened, last = harden(text), (0, 0)
    for index in range(len(hardened.text)):
        start, end = hardened.span(index, index + 1)
        assert 0 <= start < end <= len(text)
        assert start >= last[0]
        assert end >= last[1]
        last = start, end


@given(ANY)
def test_hardening_twice_is_hardening_once(text: str) -> None:
    once = harden(text).text
    assert harden(once).text == once


@given(ANY)
def test_nothing_is_left_that_a_rule_removes(text: str) -> None:
    left = harden(text).text
    assert not set(left) & (set("\b\x00\u00ad\u3164") | CONTROLS)
    assert len(unicodedata.normalize("NFKD", left)) <= 4 * len(left) + 17


@settings(max_examples=50)
@given(ANY)
def test_offsets_of_pieces_are_in_bounds_and_never_go_back(text: str) -> None:
    last = 0
    for start, end in HARD.pieces([text])[0].offsets.tolist():
        assert last <= start <= end <= len(text)
        last = start


ATTACKED = (
    "vi\u200bagra",
    "pаypal",
    "\u202etxet\u202c",
    "gop\bod",
    "ᴘᴀʏᴘᴀʟ",
    "cafe\u0301",
    "naïve",
    "free",
    "so\u00adft",
)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(ATTACKED), min_size=1, max_size=8))
def test_a_piece_is_read_again_from_its_own_span(words: list[str]) -> None:
    text = " ".join(words)
    encoding = HARD(text)
    for token, (start, end), sequence in zip(encoding.input_ids, encoding.offsets, encoding.sequence_ids, strict=True):
        if sequence is not None and end > start:
            piece = HARD.vocabulary[token].lstrip("▁")
            # a letter by itself is no word to fold: it is one of the word's around it
            seen = Normalizer().text(harden(text[start:end]).text), Normalizer().text(harden(text).text)
            assert piece in seen[0] or (len(seen[0]) == len(piece) and piece in seen[1])


def test_an_answer_is_sliced_from_the_original() -> None:
    text = "the k\u200bey is gop\bod at pаypal"
    offsets = {HARD.vocabulary[t].lstrip("▁"): o for t, o in zip(HARD(text).input_ids, HARD(text).offsets, strict=True)}
    assert [text[slice(*offsets[word])] for word in ("key", "good", "pay")] == ["k\u200bey", "gop\bod", "pаy"]


@settings(max_examples=50)
@given(ANY)
def test_ids_alone_are_those_of_the_pieces(text: str) -> None:
    assert HARD.ids([text])[0].tolist() == HARD.pieces([text])[0].ids.tolist()


# --- clean text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CLEAN, ids=lambda path: path.stem)
def test_genuine_text_keeps_every_token(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) > 20
    assert [row.tolist() for row in HARD.ids(lines)] == [row.tolist() for row in ENGLISH.ids(lines)]


def test_latin_stems_with_russian_endings_stay() -> None:
    stems = "SMS PDF USB VIP PR HR CEO GPS LTE email iPhone Windows Xbox Twitter Telegram Skype VPN CD PIN"
    endings = "а у е ы и ом ов ам ами ка ки ку кой ный ная шный ить ей ю я ся уха ера оса сто ор"
    texts = [f"это слово {stem}{ending} тут" for stem in stems.split() for ending in endings.split()]
    assert [harden(text).text for text in texts] == texts


# --- cost ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unit",
    [
        "\u0301\u0323",
        "\ufdfa",
        "\uff9e\u0301",
        "a\u200b",
        "\u202eab\u202c",
        "\u2068\u202e",
        "\u202e\u2069",
        "a\b",
        "pа",
        "а1",
    ],
)  # fmt: skip
def test_time_is_linear(unit: str) -> None:
    def seconds(count: int) -> float:
        """Of the processor, so that a busy machine does not count; the less of two."""
        text, spent = "x" + unit * count + "y", []
        for _ in range(2):
            start = time.process_time()
            harden(text)
            spent.append(time.process_time() - start)
        return min(spent)

    seconds(10)
    assert seconds(4_000) < 20 * seconds(500) + 0.05  # quadratic would be 64 times


# --- directional controls --------------------------------------------------------------------------------


def test_the_order_of_display_is_that_of_python_bidi() -> None:
    from bidi import get_display

    rng = random.Random(0)
    alphabet = "abcאבגعغ12٣ .,+-$!\u202a\u202b\u202d\u202e\u202c\u2066\u2067\u2068\u2069"
    for _ in range(1000):
        text = "".join(rng.choices(alphabet, k=rng.randrange(1, 20))) + "z"
        theirs = "".join(char for char in get_display(text, base_dir="L") if char not in CONTROLS)
        assert "".join(text[index] for index in displayed(text)) == theirs, ascii(text)


# --- folders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hardening", [None, Hardening(), Hardening(whole_words=True)])
def test_saved_and_loaded_hardens_the_same(tmp_path: Path, hardening: Hardening | None) -> None:
    ENGLISH.with_hardening(hardening).save(tmp_path)
    again = AlbertTokenizer.from_pretrained(tmp_path)
    assert again.hardening == hardening
    told = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert ("hardening" in told) == (hardening is not None)
    text = "send а pаypal vi\u200bagra to my friends at the new bank in town"
    assert again(text) == ENGLISH.with_hardening(hardening)(text)


def test_a_folder_without_the_key_is_as_ever() -> None:
    assert ENGLISH.hardening is None
    assert ENGLISH.tokenize("vi\u200bagra") == ["▁vi", "▁a", "gra"]


@pytest.mark.parametrize("version", [2, "1", True, -1])
def test_another_version_is_refused(tmp_path: Path, version: object) -> None:
    ENGLISH.save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hardening": version}))
    with pytest.raises(AlbertError, match="hardening") as caught:
        AlbertTokenizer.from_pretrained(tmp_path)
    assert caught.value.kind is ErrorKind.MODEL
