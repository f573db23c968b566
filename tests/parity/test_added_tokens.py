"""Tokens added to a checkpoint's vocabulary: found in texts as transformers finds them, kept when saved, or refused."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import albert as package
from albert.config import AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, save_model
from albert.text.hardening.hardener import Hardening
from albert.text.open import open_tokenizer
from albert.text.tokenizer import AlbertTokenizer
from albert.text.wordpiece import WordPieceTokenizer
from conftest import write_reviews
from lines import varied_lines, write_vocabulary

pytestmark = pytest.mark.ci  # minutes altogether

Added = transformers.AddedToken
TOKENS: dict[str, list[Any]] = {
    "words": ["covid19", "lamp"],  # the second one is a piece already
    "marks": ["[E1]", "[/E1]", "<ent>"],
    "as written": [Added("[E1]", normalized=False), Added("COVID-19", normalized=False)],
    "whole words": [Added("covid", single_word=True), Added("Æon", single_word=True), Added("_", single_word=True)],
    "stripped": [Added("[E1]", lstrip=True, rstrip=True), Added("<x>", lstrip=True, normalized=False)],
    "nested": ["covid", "covid19", "covid1", Added("19", normalized=False)],
    "special": [Added("[E1]", special=True, normalized=False), Added("<ent>", special=True)],
    "cased": ["Größe", "İstanbul", "two words", "ﬁsh"],
}
PARTS = [
    "covid19", "COVID19", "covid", "covid-19", "COVID-19", "covid1", "19", "1919", "[E1]", "[e1]", "[/E1]", "<ent>",
    "<ENT>", "<x>", "_", "__", "æon", "Æon", "æons", "Größe", "grosse", "GRÖßE", "İstanbul", "istanbul",
    "two words", "ﬁsh", "fish", "lamp", "lamps", "a", "the", "ü", "½", "'s", ".", "9,", "日本", "\u200d", "\u0301",
]  # fmt: skip


def lines(count: int = 400) -> list[str]:
    rng = random.Random(7)
    made = [rng.choice(["", " ", " ", "  "]).join(rng.choices(PARTS, k=rng.randint(1, 7))) for _ in range(count)]
    return ["", " ", *PARTS, *made, *varied_lines(100)]


@pytest.fixture(params=["albert", "bert"])
def plain(request: pytest.FixtureRequest, tokenizer: AlbertTokenizer, tmp_path: Path) -> Path:
    """A folder of transformers' tokenizer before anything is added."""
    folder = tmp_path / "plain"
    if request.param == "albert":
        tokenizer.save(folder)
    else:
        write_vocabulary(folder, lines())
        transformers.BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    return folder


def with_tokens(plain: Path, tokens: list[Any], folder: Path) -> Any:
    """What transformers makes of the folder with tokens added, saved in `folder`."""
    other = transformers.AutoTokenizer.from_pretrained(plain)
    other.add_tokens(tokens)
    other.save_pretrained(folder)
    if (plain / "spiece.model").exists():
        shutil.copy(plain / "spiece.model", folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def assert_the_same(mine: Any, other: Any) -> int:
    """How many of the pieces are added tokens."""
    base = mine.vocab_size - sum(token >= len(other) for token in range(mine.vocab_size))
    assert mine.vocab_size == base
    found, added = 0, {token for token in other.get_added_vocab().values() if token not in other.all_special_ids[:5]}
    texts = lines()
    theirs = other(texts, add_special_tokens=False)["input_ids"]
    for line, wanted, pieces, ids in zip(texts, theirs, mine.pieces(texts), mine.ids(texts), strict=True):
        if not any(name in line for name in ("[CLS]", "[MASK]", "<pad>", "<unk>")):  # these stay text here
            assert pieces.ids.tolist() == wanted, line
        assert ids.tolist() == pieces.ids.tolist()
        assert len(pieces.offsets) == len(pieces.word_ids) == len(pieces)
        assert np.all(np.diff(pieces.word_ids) >= 0)
        found += sum(token in added for token in pieces.ids.tolist())
    return found


@pytest.mark.parametrize("kind", TOKENS)
def test_added_tokens_are_found_as_transformers_finds_them(kind: str, plain: Path, tmp_path: Path) -> None:
    other = with_tokens(plain, TOKENS[kind], tmp_path / "added")
    mine = open_tokenizer(tmp_path / "added")
    assert assert_the_same(mine, other) > 20
    mine.save(tmp_path / "again")
    assert_the_same(open_tokenizer(tmp_path / "again"), other)
    assert_the_same(mine, transformers.AutoTokenizer.from_pretrained(tmp_path / "again"))
    (tmp_path / "again" / "spiece.model").unlink(missing_ok=True)
    assert_the_same(open_tokenizer(tmp_path / "again"), other)


@pytest.mark.parametrize("file", ["added_tokens.json", "tokenizer_config.json", "special_tokens_map.json"])
def test_every_file_that_may_name_them_is_read(file: str, plain: Path, tmp_path: Path) -> None:
    mine = open_tokenizer(plain)
    size = mine.vocab_size
    (plain / "tokenizer.json").unlink()
    if isinstance(mine, WordPieceTokenizer):
        mine.save(plain)
        (plain / "tokenizer.json").unlink()
    told: dict[str, Any] = {
        "added_tokens.json": {"[E1]": size, "zika77": size + 1},
        "special_tokens_map.json": {"additional_special_tokens": ["[E1]", {"content": "zika77"}]},
        "tokenizer_config.json": {"added_tokens_decoder": {
            str(size): {"content": "[E1]", "normalized": False, "special": True},
            str(size + 1): {"content": "zika77", "single_word": True},
        }},
    }  # fmt: skip
    path = plain / file
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**before, **told[file]}))
    again = open_tokenizer(plain)
    assert again.vocab_size == size + 2
    text = "So [E1] says zika77, twice."
    [pieces] = again.pieces([text])
    places = {token: text[a:b] for token, (a, b) in zip(pieces.ids.tolist(), pieces.offsets.tolist(), strict=True)}
    assert (places[size], places[size + 1]) == ("[E1]", "zika77")
    assert {"[E1]", "zika77"} <= set(again.tokenize(text))


def test_offsets_words_and_decoding(tokenizer: AlbertTokenizer) -> None:
    from albert.text.added import AddedToken

    size = tokenizer.vocab_size
    mine = tokenizer.with_added([AddedToken("[E1]", size, normalized=False), AddedToken("Covid 19", size + 1)])
    text = "Café [E1] has  COVID 19."
    [pieces] = mine.pieces([text])
    assert [text[a:b] for a, b in pieces.offsets.tolist() if a < b][-2:] == ["COVID 19", "."]
    spans = {int(token): text[a:b] for token, (a, b) in zip(pieces.ids, pieces.offsets.tolist(), strict=True)}
    assert (spans[size], spans[size + 1]) == ("[E1]", "COVID 19")
    assert len(set(pieces.word_ids.tolist())) == 5
    assert mine.decode([*pieces.ids.tolist()]).startswith("cafe [E1] has")
    hardened = mine.with_hardening(Hardening())
    assert size in hardened.pieces([text])[0].ids
    row = mine(text, "and [E1]", max_length=12)
    assert row.input_ids.count(size) == 2
    assert all(a <= b for a, b in row.offsets)


@pytest.mark.parametrize("flags", [{}, {"single_word": True}, {"normalized": False}])
def test_time_is_linear_in_the_number_of_tokens(flags: dict[str, bool], tokenizer: AlbertTokenizer) -> None:
    """200,000 characters; 40,000 tokens took minutes where each of them copied the text."""
    from albert.text.added import AddedToken

    mine = tokenizer.with_added([AddedToken("[E1]", tokenizer.vocab_size, **flags)])
    [pieces] = mine.pieces(["[E1] " * 40_000])
    assert pieces.ids.tolist() == [tokenizer.vocab_size] * 40_000
    [mixed] = mine.pieces(["[E1] a " * 10_000])
    assert len(mixed) == 20_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"added_tokens": [{"id": 99999, "content": "[E1]"}]}, r"token '\[E1\]': expected the id 16000, got 99999"),
        ({"added_tokens": [{"id": 7, "content": "[E1]"}]}, r"'\[E1\]': expected the id 16000, got 7"),
        ({"added_tokens": [{"content": "[E1]"}]}, r"'\[E1\]': expected an id, got None"),
        ({"added_tokens": [{"id": 16000, "content": "lamp"}]}, "'lamp': expected the id"),
        ({"added_tokens": [{"id": 16000}]}, "added token"),
        ({"added_tokens": [3]}, "added token"),
        ({"added_tokens": "x"}, "added token"),
        ({"added_tokens": [{"id": 16000, "content": "a b"}, {"id": 16000, "content": "c d"}]}, "'c d': expected"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_refused_by_name(
    content: dict[str, Any], message: str, tokenizer: AlbertTokenizer, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path)
    assert tokenizer.vocab_size == 16_000
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(AlbertError, match=message) as caught:
        open_tokenizer(tmp_path)
    assert caught.value.kind is ErrorKind.MODEL


def test_files_that_contradict_each_other_are_refused(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    size = tokenizer.vocab_size
    (tmp_path / "added_tokens.json").write_text(json.dumps({"[E1]": size, "[E2]": size + 1}))
    told = {"added_tokens": [{"id": size, "content": "[E2]"}]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(told))
    with pytest.raises(AlbertError, match=rf"'\[E2\]': expected one id, {size}, got {size + 1}"):
        open_tokenizer(tmp_path)


def test_a_model_without_rows_for_them_is_refused(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    config = AlbertConfig.named("tiny", vocab_size=tokenizer.vocab_size)
    save_model(AlbertForTask(config, "span", generator=torch.Generator()), tmp_path)
    tokenizer.save(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"[E1]": tokenizer.vocab_size}))
    with pytest.raises(AlbertError, match="its tokenizer has 16,001 pieces: expected at most the 16,000"):
        open_tokenizer(tmp_path)


def test_fine_tuning_keeps_them(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    folder = tmp_path / "init"
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size + 2, embedding_size=16, hidden_size=32, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=32,
    )  # fmt: skip
    save_model(AlbertForTask(config, "masked_lm", generator=torch.Generator().manual_seed(0)), folder)
    tokenizer.save(folder)
    (folder / "added_tokens.json").write_text(json.dumps({"[E1]": 16_000, "covid19": 16_001}))
    package.train(
        write_reviews(tmp_path / "r.csv", rows=40),
        out=tmp_path / "out",
        init=folder,
        settings={"epochs": 0.5},
        quiet=True,
    )
    trained = open_tokenizer(tmp_path / "out")
    assert trained.hardening is not None
    assert trained.tokenize("So [E1] has covid19")[1::2] == open_tokenizer(folder).tokenize("So [E1] has covid19")[1::2]
    assert {"[E1]", "covid19"} <= set(trained.tokenize("So [E1] has covid19"))
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")("So [E1] has covid19")["input_ids"]
    assert trained("So [E1] has covid19").input_ids == ids
