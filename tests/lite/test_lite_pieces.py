"""albert-lite's pieces against the package's: ids and offsets, on the lines of the parity tests and on hostile ones."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from albert.text.hardening.hardener import Hardening
from albert.text.normalize import Normalizer
from albert.text.tokenizer import AlbertTokenizer
from lines import varied_lines
from served import write_model

pytestmark = pytest.mark.ci  # the first one builds the library
ODD = (
    "\u200b\u200d\u00ad\ufe0f\u202e\u202d\u202c\u2066\u2067\u2068\u2069\u200e\b\x00\x1f\n\u0301\u0323\u034f\u115f\u3164"
    "\ufdfa\uff9e\U000e0041\U000e0101🏴👨🅿ᴘɪаеорсутΑοα한ไम1אΣ"
)
HOSTILE = st.lists(st.sampled_from([*ODD, *"abcpayl", "и", " ", "9,", "\u0301" * 20]), max_size=40).map("".join)
ANY = HOSTILE | st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


def hostile_lines(count: int) -> list[str]:
    rng = random.Random(20261129)
    parts = [*ODD, *"abcpayl ", "и", " ", "\u0301" * 20, "paypal", "20%", "ab"]
    return ["".join(rng.choices(parts, k=rng.randint(1, 30))) for _ in range(count)]


class Pair:
    """A tokenizer, and albert-lite's of the same folder."""

    def __init__(self, lite: Any, tokenizer: AlbertTokenizer, folder: Path) -> None:
        self.tokenizer = tokenizer
        self.model = lite.load(write_model(folder, "classification", tokenizer))

    def check(self, lines: list[str]) -> None:
        for line, wanted in zip(lines, self.tokenizer.pieces(lines), strict=True):
            found = [piece[1:] for piece in self.model.tokenize(line, max_length=65_536)[1:-1]]
            assert found == list(zip(wanted.ids.tolist(), *wanted.offsets.T.tolist(), strict=True)), ascii(line)


@pytest.fixture(scope="module")
def plain(lite: Any, tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(lite, tokenizer.with_hardening(None), tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def hard(lite: Any, tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(lite, tokenizer.with_hardening(Hardening(whole_words=True)), tmp_path_factory.mktemp("hard"))


def test_ten_thousand_varied_lines(plain: Pair) -> None:
    plain.check(varied_lines(10_000))


def test_hostile_lines_are_hardened_alike(hard: Pair) -> None:
    hard.check([*varied_lines(3_000), *hostile_lines(7_000)])


@given(ANY)
@settings(max_examples=150)
def test_any_text(plain: Pair, hard: Pair, text: str) -> None:
    plain.check([text])
    hard.check([text])


@pytest.mark.parametrize(
    "normalizer", [Normalizer(lower=False), Normalizer(keep_accents=True), Normalizer(quotes=True)]
)
def test_other_settings(lite: Any, tokenizer: AlbertTokenizer, normalizer: Normalizer, tmp_path: Path) -> None:
    other = AlbertTokenizer(tokenizer.model, normalizer=normalizer)
    Pair(lite, other, tmp_path).check([*varied_lines(600)[-300:], "``a'' and ''b``", "ΣΑΣ İ"])


def test_pieces_that_end_in_a_comma_are_undone(lite: Any, tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(tokenizer.model)
    for piece, text in zip(list(model.pieces)[-4:], ["42,", "▁1999,", "000,", "7,"], strict=True):
        piece.piece, piece.score = text, -1.0
    changed = AlbertTokenizer(model.SerializeToString())
    Pair(lite, changed, tmp_path).check(["42,7, 1999,,", "x42, 7,", "92,000, and 1999,", *varied_lines(200)])


@pytest.mark.parametrize("limit", [3, 4, 7, 16])
def test_pairs_are_cut_alike(plain: Pair, limit: int) -> None:
    long, short = "the quick brown fox jumps over the lazy dog again and again", "a small cat"
    for first, second in ((long, short), (short, long), (long, long), (short, short), (long, None)):
        wanted = plain.tokenizer(first, second, max_length=limit)
        assert [piece[1] for piece in plain.model.tokenize(first, second, max_length=limit)] == wanted.input_ids


def test_lone_surrogates_are_bad_data(lite: Any, hard: Pair) -> None:
    with pytest.raises(lite.LiteError, match=r"bad-data.*not valid Unicode"):
        hard.model("pаypal \ud800")


def test_the_published_vocabulary(lite: Any, shared_data: Path, tmp_path: Path) -> None:
    published = AlbertTokenizer((shared_data / "vocab" / "spiece.rebuilt.model").read_bytes())
    Pair(lite, published, tmp_path).check(varied_lines(10_000))
