"""Models with more positions: what fits the window is read as before, what did not fit is read whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from albert.config import AlbertConfig
from albert.engine import Engine
from albert.errors import AlbertError, ErrorKind
from albert.export.lengthen import lengthen
from albert.model import AlbertForTask, load_model, save_model
from albert.text.open import open_tokenizer
from albert.text.tokenizer import AlbertTokenizer
from rows import features


@pytest.fixture
def short(tmp_path: Path) -> Path:
    return folder(tmp_path / "short")


def folder(path: Path, **changes: Any) -> Path:
    exits = changes.pop("exits", False)
    tokenizer = AlbertTokenizer.english()
    shape = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": 32, "id2label": ("a", "b"), **changes}
    model = AlbertForTask(
        AlbertConfig.named("tiny", **shape), "sequence_classification", exits=exits,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    path.mkdir()
    save_model(model, path)
    tokenizer.save(path)
    return path


def test_a_text_within_the_window_gets_the_same_answer(short: Path, tmp_path: Path) -> None:
    done = lengthen(short, tmp_path / "long", to=100, window=64)
    assert (done.before, done.now) == (32, 100)
    long, rows = load_model(tmp_path / "long"), features([5, 32, 17])
    assert (long.config.max_position_embeddings, long.config.attention_window) == (100, 64)
    assert open_tokenizer(tmp_path / "long").max_length == 100
    before, after = (Engine(model, "fp32").logits(rows) for model in (load_model(short), long))
    np.testing.assert_allclose(np.stack(after), np.stack(before), atol=1e-5)


def test_marks_of_capitals_are_no_question(short: Path, tmp_path: Path) -> None:
    open_tokenizer(short).with_case_marks(True).save(short)
    lengthen(short, tmp_path / "long", to=100, window=8)
    assert not load_model(tmp_path / "long").config.global_question


def test_positions_are_repeated_and_all_of_them_are_read(short: Path, tmp_path: Path) -> None:
    lengthen(short, tmp_path / "long", to=100, window=8)
    long = load_model(tmp_path / "long")
    table = long.albert.embeddings.position.weight
    assert torch.equal(table[32:64], table[:32])
    assert torch.equal(table[96:], table[:4])
    engine = Engine(long, "fp32")
    text = features([100])
    changed = features([100])
    changed.ids[-1] = 5 if text.ids[-1] != 5 else 6
    assert not np.array_equal(engine.logits(text)[0], engine.logits(changed)[0])


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"to": 32}, ErrorKind.USAGE, "--to: expected more than the 32 positions"),
        ({"to": -1}, ErrorKind.USAGE, "--to: expected more than the 32 positions"),
        ({"to": 100_000}, ErrorKind.CONFIG, "max_position_embeddings: expected"),
        ({"to": 64, "window": 0}, ErrorKind.CONFIG, "attention_window: expected an even number"),
        ({"to": 64, "window": 9}, ErrorKind.CONFIG, "attention_window: expected an even number"),
        ({"to": 64, "global_tokens": 65}, ErrorKind.CONFIG, "global_tokens: expected at most the 64 positions"),
    ],
)
def test_what_cannot_be_lengthened_so_is_refused(
    short: Path, tmp_path: Path, options: dict[str, Any], kind: ErrorKind, told: str
) -> None:
    with pytest.raises(AlbertError, match=told) as refused:
        lengthen(short, tmp_path / "long", **options)
    assert refused.value.kind is kind
    assert not (tmp_path / "long").exists()


def test_early_exit_and_used_folders_are_refused(short: Path, tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match="expected a model without early exit"):
        lengthen(folder(tmp_path / "exits", exits=True), tmp_path / "long", to=64)
    with pytest.raises(AlbertError, match="expected a new or empty folder"):
        lengthen(short, short, to=64)
    assert load_model(short).config.max_position_embeddings == 32
