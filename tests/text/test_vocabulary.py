from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from albert.corpus.reading import corpus_lines
from albert.errors import AlbertError, ErrorKind
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import accents_lost, train_vocabulary
from conftest import Albert

LINES = [f"the {a} {b} {c} (no. {i})" for i, (a, b, c) in enumerate(
    (a, b, c)
    for a in ("small", "large", "green", "quiet") for b in ("boats", "houses", "rivers", "letters", "gardens")
    for c in ("sail", "stand", "wait", "arrive", "return", "disappear")
)]  # fmt: skip


def test_a_trained_vocabulary_has_the_published_layout() -> None:
    model = train_vocabulary(LINES, vocab_size=60)
    tokenizer = AlbertTokenizer(model)
    assert tokenizer.vocabulary[:13] == [
        "<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "(", ")", '"', "-", ".", "–", "£", "€"
    ]  # fmt: skip
    assert tokenizer.vocab_size == 60
    assert tokenizer.decode(tokenizer("THE BOÄTS (sail)").input_ids) == "the boats (sail)"


def test_training_is_reproducible() -> None:
    assert train_vocabulary(LINES, vocab_size=60, seed=1) == train_vocabulary(LINES, vocab_size=60, seed=1)


def test_too_little_text_is_one_clear_error() -> None:
    for lines in ([], ["a"], LINES[:3]):
        with pytest.raises(AlbertError, match="--vocab-size") as caught:
            train_vocabulary(lines, vocab_size=5000)
        assert caught.value.kind is ErrorKind.DATA


def test_the_command_reads_folders_of_text_and_compressed_jsonl(tmp_path: Path, albert: Albert) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.txt").write_text("\n".join(LINES[:60]), encoding="utf-8")
    with lzma.open(corpus / "b.jsonl.xz", "wt") as file:
        file.write(json.dumps({"paras": LINES[60:90]}) + "\n" + json.dumps({"text": "\n".join(LINES[90:])}) + "\n")
    assert sum(1 for _ in corpus_lines([corpus])) == len(LINES)
    done = albert("tokenizer", "train", corpus, "-o", tmp_path / "vocab", "--vocab-size", 60)
    assert done.returncode == 0, done.stderr
    assert AlbertTokenizer.from_pretrained(tmp_path / "vocab").vocab_size == 60


@pytest.mark.parametrize("content", ['{"x": 1}\n', "not json\n", '{"text": 3}\n'])
def test_a_bad_corpus_line_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"text": "fine"}\n' + content)
    with pytest.raises(AlbertError, match=r"c\.jsonl:2") as caught:
        list(corpus_lines([path]))
    assert caught.value.kind is ErrorKind.DATA


def test_a_folder_without_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match="expected text"):
        list(corpus_lines([tmp_path]))


JAPANESE = [
    f"パンダと{a}が{b}で{c}。"
    for a in ("ピアノ", "ガラス", "バナナ")
    for b in ("ぽかぽか", "どこか", "ゼミ")
    for c in ("遊ぶ", "待つ")
]
NORDIC = [
    f"Får {a} ikke {b} på Øya, Åse?"
    for a in ("bøndene", "jäntan", "kvæget")
    for b in ("brød", "kött", "smör", "jordbær", "æbler", "potatis")
]


@pytest.mark.parametrize(
    ("lines", "words"), [(JAPANESE, ["パンダ", "バナナ", "ゼミ"]), (NORDIC, ["Får", "Øya", "Åse", "kött"])]
)
def test_a_language_keeps_its_letters(tmp_path: Path, albert: Albert, lines: list[str], words: list[str]) -> None:
    (tmp_path / "corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    done = albert("tokenizer", "train", tmp_path / "corpus.txt", "-o", tmp_path / "vocab", "--vocab-size", 45,
                  "--cased", "--keep-accents")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "accents" not in done.stderr
    ours = AlbertTokenizer.from_pretrained(tmp_path / "vocab")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "vocab")
    for text in [*words, *lines, "".join(lines[:3])]:
        ids = ours(text).input_ids
        assert ours.decode(ids) == text
        assert ids == theirs(text).input_ids


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["パンダがいる"] * 3, "'パンダがいる' is read as 'ハンタかいる', and 3 of the first 3 lines change"),
        (["får", "plain"], "'får' is read as 'far', and 1 of the first 2 lines change"),
        (["İzmir", "हिन्दी"], "'İzmir' is read as 'Izmir', and 2"),
        (["the ﬁne ½ line ™", "한국어", "Straße"], None),
        (["a café"] + ["plain"] * 200, None),
        ([], None),
    ],
)
def test_what_the_removal_of_accents_changes_is_told(lines: list[str], told: str | None) -> None:
    found = accents_lost(lines)
    assert (found is None) if told is None else (found is not None and told in found)
