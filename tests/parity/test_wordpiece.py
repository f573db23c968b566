"""WordPiece against transformers' BertTokenizerFast: ids, offsets, words, pairs, cuts and windows, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.errors import AlbertError
from albert.text.hardening.hardener import Hardening
from albert.text.open import open_tokenizer
from albert.text.tokenizer import AlbertTokenizer
from albert.text.wordpiece import WordPieceTokenizer
from lines import SPECIALS, varied_lines, write_vocabulary

LINES = varied_lines(20_000)


@pytest.fixture(scope="module", params=["uncased", "cased"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[WordPieceTokenizer, transformers.BertTokenizerFast]:
    """Ours and theirs of one vocabulary."""
    folder, lower = tmp_path_factory.mktemp("vocabulary"), request.param == "uncased"
    ours = write_vocabulary(folder, LINES[:4000], lower=lower)
    return ours, transformers.BertTokenizerFast.from_pretrained(folder)


def assert_same(
    ours: WordPieceTokenizer, theirs: transformers.BertTokenizerFast, lines: list[str], *, split: bool = False
) -> None:
    wanted = theirs(lines, return_offsets_mapping=True, split_special_tokens=split).encodings
    plain = ours.encode_batch(lines, max_length=1 << 20, offsets=False)
    for index, mine in enumerate(ours.encode_batch(lines, max_length=1 << 20)):
        line, found = lines[index], wanted[index]
        assert mine.input_ids == found.ids == plain[index].input_ids, line
        assert (mine.offsets, mine.word_ids, mine.token_type_ids) == (found.offsets, found.word_ids, found.type_ids), (
            line
        )


@pytest.mark.ci
def test_twenty_thousand_varied_lines(both: tuple[WordPieceTokenizer, transformers.BertTokenizerFast]) -> None:
    ours, theirs = both
    known = [token for line in ours.ids(LINES) for token in line.tolist() if token != ours.special.unk]
    assert len(set(known)) > 2000
    assert_same(ours, theirs, LINES)


def test_special_tokens_stay_text_where_the_folder_says_so(
    both: tuple[WordPieceTokenizer, transformers.BertTokenizerFast], tmp_path: Path
) -> None:
    ours, theirs = both
    assert ours.special.mask in ours("a [MASK] b").input_ids
    ours.save(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "split_special_tokens": True}))
    split = WordPieceTokenizer.from_pretrained(tmp_path)
    assert split.special.mask not in split("a [MASK] b").input_ids
    assert_same(split, theirs, LINES[:2000], split=True)
    split.save(tmp_path / "again")
    assert WordPieceTokenizer.from_pretrained(tmp_path / "again").split_specials


@settings(max_examples=200)
@given(text=st.text(max_size=60), pair=st.none() | st.text(min_size=1, max_size=60), limit=st.integers(3, 40))
def test_any_text_pair_and_cut(
    both: tuple[WordPieceTokenizer, transformers.BertTokenizerFast], text: str, pair: str | None, limit: int
) -> None:
    ours, theirs = both
    mine = ours(text, pair, max_length=limit)
    wanted = theirs(text, pair, truncation=True, max_length=limit, return_offsets_mapping=True)
    assert mine.input_ids == wanted["input_ids"]
    assert mine.token_type_ids == wanted["token_type_ids"]
    assert mine.offsets == wanted["offset_mapping"]
    assert mine.sequence_ids == wanted.sequence_ids()


@pytest.mark.parametrize("stride", [0, 3, 5])
def test_windows(both: tuple[WordPieceTokenizer, transformers.BertTokenizerFast], stride: int) -> None:
    ours, theirs = both
    question, text = "where is it", " ".join(LINES[:8])
    for pair, strategy in (((question, text), "only_second"), ((text, None), "only_first")):
        wanted = theirs(*pair, truncation=strategy, max_length=20, stride=stride, return_overflowing_tokens=True)
        [mine] = ours.windows([pair[0] if pair[1] is None else pair], max_length=20, stride=stride)
        assert [window.input_ids for window in mine] == wanted["input_ids"]


def test_saved_folders_agree_in_both_directions(
    both: tuple[WordPieceTokenizer, transformers.BertTokenizerFast], tmp_path: Path
) -> None:
    ours, theirs = both
    ours.save(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    assert_same(ours, transformers.AutoTokenizer.from_pretrained(tmp_path / "ours"), LINES[:500])
    again = open_tokenizer(tmp_path / "theirs")
    assert isinstance(again, WordPieceTokenizer)
    assert_same(again, theirs, LINES[:500])
    (tmp_path / "ours" / "tokenizer.json").unlink()
    assert_same(WordPieceTokenizer.from_pretrained(tmp_path / "ours"), theirs, LINES[:500])


def test_pieces_decode(both: tuple[WordPieceTokenizer, transformers.BertTokenizerFast]) -> None:
    ours, theirs = both
    for line in LINES[:300]:
        ids = ours(line).input_ids
        assert ours.decode(ids) == theirs.decode(ids[1:-1], clean_up_tokenization_spaces=False)


def test_pieces_that_were_added_later(tmp_path: Path) -> None:
    """A folder of transformers whose tokenizer has tokens beyond its vocabulary, special ones and others."""
    write_vocabulary(tmp_path, LINES[:500])
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    theirs.add_tokens(["blørg"])
    theirs.add_special_tokens({"additional_special_tokens": ["[E1]"]})
    theirs.save_pretrained(tmp_path / "theirs")
    ours = open_tokenizer(tmp_path / "theirs")
    assert isinstance(ours, WordPieceTokenizer)
    assert ours.vocab_size == len(theirs)
    assert_same(ours, theirs, ["a blørg, the [E1] blørgs", *LINES[:100]])
    ours.save(tmp_path / "ours")
    assert_same(ours, transformers.AutoTokenizer.from_pretrained(tmp_path / "ours"), ["a blørg, the [E1] blørgs"])


def test_settings_have_the_last_word(tmp_path: Path) -> None:
    """As in transformers, tokenizer_config.json counts where tokenizer.json says otherwise."""
    write_vocabulary(tmp_path, LINES[:500]).save(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings |= {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    assert_same(WordPieceTokenizer.from_pretrained(tmp_path), theirs, LINES[:1000])


def test_hardened_text_keeps_offsets_into_the_original(
    both: tuple[WordPieceTokenizer, transformers.BertTokenizerFast],
) -> None:
    hard = both[0].with_hardening(Hardening())
    text = "a gr\u200beat l\u0430mp, really"
    mine = hard(text)
    assert mine.input_ids == both[0]("a great lamp, really").input_ids == hard.encode_batch([text])[0].input_ids
    assert hard.encode_batch([text], offsets=False)[0].input_ids == mine.input_ids
    covered = "".join(text[start:end] for start, end in mine.offsets)
    assert covered == text.replace(" ", "")
    with pytest.raises(AlbertError, match="not valid Unicode"):
        hard("a \ud800")


def test_text_that_is_no_unicode_is_refused(both: tuple[WordPieceTokenizer, transformers.BertTokenizerFast]) -> None:
    for call in (both[0].pieces, both[0].ids):
        with pytest.raises(AlbertError, match="not valid Unicode"):
            call(["fine", "a \ud800"])


# --- which tokenizer, and none ---------------------------------------------------------------------------


def test_a_folder_says_by_its_files_which_it_has(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    pieces = write_vocabulary(tmp_path / "bert", LINES[:500])
    assert isinstance(open_tokenizer(tmp_path / "bert"), WordPieceTokenizer)
    tokenizer.save(tmp_path / "bert")  # over the other, as a run that replaces one does
    assert isinstance(open_tokenizer(tmp_path / "bert"), AlbertTokenizer)
    pieces.save(tmp_path / "bert")
    assert isinstance(open_tokenizer(tmp_path / "bert"), WordPieceTokenizer)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {}, "merges": []}}, "Unigram .ALBERT. or WordPiece"),
        ("tokenizer.json", {"model": {"type": "WordPiece"}}, "expected a WordPiece tokenizer"),
        ("tokenizer.json", {"model": ["WordPiece"]}, "expected a Unigram tokenizer"),
        ("tokenizer.json", ["no", "object"], "expected a JSON object"),
        ("vocab.txt", "a\nb\n[UNK]\n", r"no \[PAD\], \[CLS\], \[SEP\], \[MASK\]"),
        ("vocab.txt", b"\xff\xfe\xfd", "a piece a line in UTF-8"),
    ],
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, name: str, content: object, message: str) -> None:
    data = content if isinstance(content, bytes) else str(content).encode()
    (tmp_path / name).write_bytes(data if name == "vocab.txt" else json.dumps(content).encode())
    with pytest.raises(AlbertError, match=message):
        open_tokenizer(tmp_path)


def test_inputs_of_another_shape_are_refused(tmp_path: Path) -> None:
    """RoBERTa's pairs around a WordPiece vocabulary would be read wrongly in silence."""
    write_vocabulary(tmp_path, LINES[:500]).save(tmp_path)
    raw = json.loads((tmp_path / "tokenizer.json").read_text())
    raw["post_processor"]["pair"] = raw["post_processor"]["pair"][:3]
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(AlbertError, match=r"pairs as \[CLS\] A \[SEP\] B \[SEP\]"):
        open_tokenizer(tmp_path)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    write_vocabulary(tmp_path, LINES[:500])
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": len(SPECIALS)}))
    with pytest.raises(AlbertError, match="at most the 104 of its config"):
        open_tokenizer(tmp_path)


# --- the published vocabulary ----------------------------------------------------------------------------


def test_the_published_vocabulary(sentence_encoder: Path) -> None:
    ours = open_tokenizer(sentence_encoder)
    assert isinstance(ours, WordPieceTokenizer)
    assert (ours.special.pad, ours.special.unk, ours.special.cls, ours.special.sep, ours.special.mask) == (
        0, 100, 101, 102, 103,
    )  # fmt: skip
    theirs = transformers.AutoTokenizer.from_pretrained(sentence_encoder)
    assert_same(ours, theirs, LINES)
