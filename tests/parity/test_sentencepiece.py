"""Our pieces against the sentencepiece library behind Google's preprocessing, piece for piece."""

from __future__ import annotations

import json
import lzma
import unicodedata
from pathlib import Path

import pytest
import sentencepiece
import tokenizers
import transformers
from sentencepiece import sentencepiece_model_pb2

from albert.hub import model_folder
from albert.text.export import tokenizer_json
from albert.text.normalize import Normalizer
from albert.text.tokenizer import AlbertTokenizer
from lines import varied_lines


def google_preprocess(text: str, *, lower: bool = True, keep_accents: bool = False) -> str:
    """google-research/albert, tokenization.py, in the order stated there."""
    text = " ".join(text.strip().split())
    if not keep_accents:
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.combining(c) == 0)
    return text.lower() if lower else text


def google_ids(model: sentencepiece.SentencePieceProcessor, text: str) -> list[int]:
    ids: list[int] = []
    for piece in model.encode(text, out_type=str):
        if len(piece) > 1 and piece.endswith(",") and piece[-2].isdigit():
            parts = model.encode(piece[:-1].replace("▁", ""), out_type=str)
            if not piece.startswith("▁") and parts[0].startswith("▁"):
                parts = parts[1:] if len(parts[0]) == 1 else [parts[0][1:], *parts[1:]]
            ids += [model.piece_to_id(part) for part in (*parts, ",")]
        else:
            ids.append(model.piece_to_id(piece))
    return ids


def assert_same_pieces(tokenizer: AlbertTokenizer, lines: list[str]) -> None:
    oracle = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    normalizer = tokenizer.normalizer
    for line, pieces in zip(lines, tokenizer.pieces(lines), strict=True):
        text = google_preprocess(line, lower=normalizer.lower, keep_accents=normalizer.keep_accents)
        assert pieces.ids.tolist() == google_ids(oracle, text), line


def test_own_vocabulary_on_ten_thousand_varied_lines(tokenizer: AlbertTokenizer) -> None:
    assert_same_pieces(tokenizer, varied_lines(10_000))


@pytest.mark.parametrize("normalizer", [Normalizer(lower=False), Normalizer(keep_accents=True)])
def test_cased_and_accented_settings(tokenizer: AlbertTokenizer, normalizer: Normalizer) -> None:
    other = AlbertTokenizer(tokenizer.model, normalizer=normalizer)
    assert_same_pieces(other, varied_lines(3_000))


def test_a_vocabulary_with_digit_comma_pieces(tokenizer: AlbertTokenizer) -> None:
    """The published vocabulary has some, ours has none: put some in, and the rule must undo each of them."""
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(tokenizer.model)
    for piece, text in zip(list(model.pieces)[-4:], ["42,", "▁1999,", "000,", "7,"], strict=True):
        piece.piece, piece.score = text, -1.0
    changed = AlbertTokenizer(model.SerializeToString())
    assert "42," in sentencepiece.SentencePieceProcessor(model_proto=changed.model).encode("x42, a", out_type=str)
    assert_same_pieces(changed, [*varied_lines(2_000), "42,7, 1999,,", "x42, 7,", "92,000, and 1999,"])
    encoding = changed("42, 1999,")
    comma = changed.id_of(",")
    spans = [span for span, token in zip(encoding.offsets, encoding.input_ids, strict=True) if token == comma]
    assert spans == [(2, 3), (8, 9)]


@pytest.fixture
def published(shared_data: Path) -> AlbertTokenizer:
    return AlbertTokenizer((shared_data / "vocab" / "spiece.rebuilt.model").read_bytes())


def test_published_vocabulary_on_varied_lines(published: AlbertTokenizer) -> None:
    assert_same_pieces(published, varied_lines(10_000))


def test_published_vocabulary_on_corpus_text(published: AlbertTokenizer, shared_data: Path) -> None:
    lines: list[str] = []
    for path in sorted((shared_data / "corpus").glob("*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as file:
            for _, row in zip(range(20), file, strict=False):
                lines += json.loads(row)["paras"][:60]
    assert len(lines) > 2_000
    assert_same_pieces(published, lines)


def test_documented_fixture(published: AlbertTokenizer) -> None:
    tokenizer = AlbertTokenizer(published.model, normalizer=Normalizer(keep_accents=True))
    ids = tokenizer.pieces(["I was born in 92000, and this is falsé."])[0].ids.tolist()
    assert ids == [31, 23, 386, 19, 561, 3050, 15, 17, 48, 25, 8256, 18, 1, 9]


def test_published_vocabulary_in_the_documented_order(published: AlbertTokenizer, shared_data: Path) -> None:
    listed = (shared_data / "vocab" / "30k-clean.vocab").read_text(encoding="utf-8").split("\n")
    assert published.vocabulary == [line.split("\t")[0] for line in listed if line]


# --- tokenizer.json --------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalizer", [Normalizer(), Normalizer(lower=False, keep_accents=True)])
def test_every_character_between_words_is_read_alike_from_the_published_form(
    tokenizer: AlbertTokenizer, normalizer: Normalizer
) -> None:
    mine = AlbertTokenizer(tokenizer.model, normalizer=normalizer)
    theirs = tokenizers.Tokenizer.from_str(tokenizer_json(mine._encoder.proto, normalizer))
    sigmas = "\u03a3\u03f9"  # a capital sigma at a word's end becomes another small letter in Python than there
    chars = [chr(code) for code in range(1, 0x3100) if chr(code) not in sigmas or not normalizer.lower]
    for form in ("lamp{}chair", "{}lamp", "lamp {} chair", "lamp{}", "a{0}{0}b"):
        lines = [form.format(char) for char in chars]
        wanted = [row.tolist() for row in mine.ids(lines)]
        found = [row.ids for row in theirs.encode_batch(lines, add_special_tokens=False)]
        assert [line for line, one, other in zip(lines, wanted, found, strict=True) if one != other] == []


@pytest.mark.parametrize("char", ["\x0b", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\t", "\u3000"])
def test_white_space_divides_words_in_the_published_form(tokenizer: AlbertTokenizer, char: str, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    starter = tokenizers.Tokenizer.from_file(str(model_folder("starter") / "tokenizer.json"))
    for reader in (theirs, starter):
        assert reader.encode(f"lamp{char}chair{char}").tokens == ["[CLS]", "▁lamp", "▁chair", "[SEP]"]


# --- the saved folder in transformers --------------------------------------------------------------------


def test_saved_tokenizer_loads_in_transformers(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    other = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for pair in (("A plain sentence.", None), ("Who was it?", "It was Ada, in 1843."), ("x", "y z")):
        mine, theirs = tokenizer(*pair), other(*pair)
        assert mine.input_ids == theirs["input_ids"]
        assert mine.token_type_ids == theirs["token_type_ids"]
    assert other.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]


@pytest.mark.parametrize("limit", [3, 4, 7, 8, 16])
def test_truncation_keeps_what_transformers_keeps(tokenizer: AlbertTokenizer, tmp_path: Path, limit: int) -> None:
    tokenizer.save(tmp_path)
    other = transformers.AutoTokenizer.from_pretrained(tmp_path)
    long, short = "the quick brown fox jumps over the lazy dog again and again", "a small cat"
    for pair in ((long, short), (short, long), (long, long), (short, short), (long, None)):
        theirs = other(*pair, truncation=True, max_length=limit)
        assert tokenizer(*pair, max_length=limit).input_ids == theirs["input_ids"]


@pytest.mark.parametrize("stride", [0, 3, 5])
def test_windows_are_those_of_transformers(tokenizer: AlbertTokenizer, tmp_path: Path, stride: int) -> None:
    tokenizer.save(tmp_path)
    other = transformers.AutoTokenizer.from_pretrained(tmp_path)
    question, text = "where is it", " ".join(f"word{i} moves" for i in range(30))
    for pair, strategy in (((question, text), "only_second"), ((text, None), "only_first")):
        theirs = other(*pair, truncation=strategy, max_length=20, stride=stride, return_overflowing_tokens=True)
        [mine] = tokenizer.windows([pair[0] if pair[1] is None else pair], max_length=20, stride=stride)
        assert [window.input_ids for window in mine] == theirs["input_ids"]


def test_a_folder_with_tokenizer_json_alone_gives_the_same_pieces(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    (tmp_path / "spiece.model").unlink()
    again = AlbertTokenizer.from_pretrained(tmp_path)
    lines = varied_lines(3_000)
    for mine, other in zip(tokenizer.pieces(lines), again.pieces(lines), strict=True):
        assert mine.ids.tolist() == other.ids.tolist()


def test_a_folder_saved_by_transformers_gives_the_same_pieces(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "ours")
    transformers.AutoTokenizer.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    again = AlbertTokenizer.from_pretrained(tmp_path / "theirs")
    lines = varied_lines(2_000)
    for mine, other in zip(tokenizer.pieces(lines), again.pieces(lines), strict=True):
        assert mine.ids.tolist() == other.ids.tolist()
