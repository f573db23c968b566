"""A cased vocabulary that keeps accents is obeyed wherever a model with it reads or writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from albert.predict.writer import Writer
from albert.text.hardening.hardener import Hardening
from albert.text.open import open_tokenizer
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert
from rewriting import write_model

TEXTS = ("Får får får?", "パンダとハンダ", "Ångström IN Zürich", "élève ÉLÈVE", "Straße STRASSE", "Ὀδυσσεύς")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.txt"
    path.write_text("".join(f"{text} {number % 10}\n" for text in TEXTS for number in range(40)), encoding="utf-8")
    return path


def train(albert: Albert, corpus: Path, out: Path, pieces: int, *options: str) -> AlbertTokenizer:
    done = albert("tokenizer", "train", corpus, "-o", out, "--vocab-size", pieces, *options)
    assert done.returncode == 0, done.stderr
    return AlbertTokenizer.from_pretrained(out)


def test_every_text_is_read_and_written_as_it_is(albert: Albert, corpus: Path, tmp_path: Path) -> None:
    tokenizer = train(albert, corpus, tmp_path / "vocabulary", 76, "--cased", "--keep-accents")
    tokenizer.save(tmp_path / "again")
    for each in (tokenizer, open_tokenizer(tmp_path / "again"), tokenizer.with_hardening(Hardening())):
        for text in TEXTS:
            [ids] = each.ids([text])
            assert each.special.unk not in ids
            assert each.decode(ids.tolist()) == text
            assert each.tokenize(text) == [each.vocabulary[token] for token in ids]


def test_without_the_options_case_and_accents_go(albert: Albert, corpus: Path, tmp_path: Path) -> None:
    tokenizer = train(albert, corpus, tmp_path / "plain", 57)
    assert tokenizer.decode(tokenizer.ids(["Ångström"])[0].tolist()) == "angstrom"
    cased = train(albert, corpus, tmp_path / "cased", 65, "--cased")
    assert cased.decode(cased.ids(["Ångström"])[0].tolist()) == "Angstrom"


def test_a_model_folder_keeps_it(tmp_path: Path) -> None:
    writer = Writer.load(write_model(tmp_path / "model"))
    settings = (tmp_path / "model" / "tokenizer_config.json").read_text()
    assert '"do_lower_case": false' in settings
    assert '"keep_accents": true' in settings
    assert writer.tokenizer.tokenize("fünf Null") != writer.tokenizer.tokenize("funf null")
    assert writer.writing(prefix="fünf Null")("eins")[0]["text"].startswith("fünf Null")
