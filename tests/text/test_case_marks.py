"""Capital letters as token types: what a vocabulary in lower case would lose."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.finetuning.texts import TextConfig
from albert.tasks import TASKS
from albert.text.encodings import Tokenizer
from albert.text.hardening.hardener import Hardening
from albert.text.normalize import Normalizer
from albert.text.open import open_tokenizer
from albert.text.tokenizer import AlbertTokenizer
from lines import write_vocabulary

TEXTS = st.text(st.sampled_from("aB Ab. ÄßΣİǅ9東😀 \u0301McDonald iPhone"), max_size=60)
ENGLISH = AlbertTokenizer.english()
MARKED = ENGLISH.with_case_marks(True)


@given(TEXTS)
def test_pieces_with_capitals_have_type_1_and_nothing_else_changes(text: str) -> None:
    plain, marked = ENGLISH(text), MARKED(text)
    assert marked.token_type_ids == [
        int(any(char != char.lower() for char in text[start:end])) for start, end in marked.offsets
    ]
    assert (marked.input_ids, marked.offsets, marked.word_ids) == (plain.input_ids, plain.offsets, plain.word_ids)
    assert not any(plain.token_type_ids)


@given(st.lists(TEXTS, min_size=1, max_size=3), st.integers(6, 20))
def test_without_offsets_and_in_windows_the_marks_are_the_same(texts: list[str], limit: int) -> None:
    placed, bare = (MARKED.encode_batch(texts, max_length=limit, offsets=offsets) for offsets in (True, False))
    assert [row.token_type_ids for row in placed] == [row.token_type_ids for row in bare]
    assert not any(row.offsets for row in bare)
    for text, rows in zip(texts, MARKED.windows(texts, max_length=limit, stride=2), strict=True):
        whole = MARKED(text).token_type_ids[1:-1]
        parts = [row.token_type_ids[1:-1] for row in rows]
        assert parts[0] + [mark for part in parts[1:] for mark in part[2:]] == whole


def test_pairs_keep_their_types() -> None:
    assert MARKED("Ada met Bob", "In Rome") == ENGLISH("Ada met Bob", "In Rome")


@pytest.fixture(scope="module", params=["albert", "bert"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    if request.param == "albert":
        return ENGLISH
    return write_vocabulary(tmp_path_factory.mktemp("bert"), ["ada met the queen"])


def test_a_folder_keeps_them(tokenizer: Tokenizer, tmp_path: Path) -> None:
    marked = tokenizer.with_case_marks(True)
    marked.save(tmp_path / "marked")
    tokenizer.save(tmp_path / "plain")
    text = "Ada met the Queen"
    assert any(marked(text).token_type_ids)
    assert open_tokenizer(tmp_path / "marked")(text) == marked(text)
    assert open_tokenizer(tmp_path / "plain")(text) == tokenizer(text)
    assert marked.with_hardening(Hardening())(text) == marked(text)
    assert not tokenizer.case_marks


def test_entities_have_them_unless_the_vocabulary_keeps_case() -> None:
    entities, labels = TASKS["ner"], TASKS["classification"]
    cased = AlbertTokenizer(ENGLISH.model, normalizer=Normalizer(lower=False))
    assert TextConfig().tokenizer(ENGLISH, entities).case_marks
    assert not TextConfig().tokenizer(cased, entities).case_marks
    assert not TextConfig().tokenizer(MARKED, labels).case_marks  # whatever the start was trained for
    assert not TextConfig(case_marks="off").tokenizer(ENGLISH, entities).case_marks
    assert TextConfig(case_marks="on").tokenizer(ENGLISH, labels).case_marks
