"""Filling masks and judging order with a pre-trained model."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import albert
from albert.config import AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, save_model
from albert.predict.mask_predict import Filling
from albert.predict.pretrained import PretrainedModel
from albert.text.tokenizer import AlbertTokenizer


def write_model(folder: Path, head: str, tokenizer: AlbertTokenizer) -> Path:
    config = AlbertConfig.named("tiny", vocab_size=tokenizer.vocab_size, max_position_embeddings=64)
    save_model(AlbertForTask(config, head, generator=torch.Generator().manual_seed(0)), folder)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> PretrainedModel:
    loaded = albert.load(write_model(tmp_path_factory.mktemp("m"), "pretraining", tokenizer))
    assert isinstance(loaded, PretrainedModel)
    return loaded


def test_fill_mask_is_what_transformers_computes(model: PretrainedModel, tmp_path: Path) -> None:
    from transformers import AlbertForMaskedLM

    text = "The capital of France is [MASK]."
    filled = model.fill_mask(text, top_k=7)
    assert [entry["score"] for entry in filled] == sorted((entry["score"] for entry in filled), reverse=True)
    assert set(filled[0]) == {"score", "token", "token_str", "sequence"}
    assert all(entry["sequence"] == f"The capital of France is {entry['token_str']}." for entry in filled)
    save_model(model.model, tmp_path)
    theirs = AlbertForMaskedLM.from_pretrained(tmp_path)
    ids = [model.tokenizer.id_of(p) for p in ["[CLS]", *model.tokenizer.tokenize(text.split(" [")[0]), "[MASK]"]]
    ids += [model.tokenizer.id_of("."), model.tokenizer.id_of("[SEP]")]
    scores = theirs(torch.tensor([ids])).logits.detach()[0, -3].softmax(0)
    assert [entry["token"] for entry in filled] == scores.topk(7).indices.tolist()
    assert filled[0]["score"] == pytest.approx(float(scores.max()), rel=1e-4)


def test_what_follows_a_mask_without_a_space_goes_on_the_word(model: PretrainedModel) -> None:
    ids, offsets = model.masked("Two [MASK]s of x[MASK], ok [MASK]")
    pieces = [model.tokenizer.vocabulary[token] for token in ids]
    assert pieces == ["[CLS]", "▁two", "[MASK]", "s", "▁of", "▁x", "[MASK]", ",", "▁", "ok", "[MASK]", "[SEP]"]
    text = "Two [MASK]s of x[MASK], ok [MASK]"
    assert [text[a:b] for a, b in offsets] == [
        "",
        "Two",
        "[MASK]",
        "s",
        "of",
        "x",
        "[MASK]",
        ",",
        "",
        "ok",
        "[MASK]",
        "",
    ]
    assert [len(entry) for entry in model.fill_mask(text, top_k=2)] == [2, 2, 2]


@torch.no_grad()
def naive(model: PretrainedModel, ids: list[int], steps: int) -> tuple[list[int], list[float]]:
    """Mask-predict as the paper words it, on the reference network, and the log-probabilities of what is filled in."""
    special = model.tokenizer.special
    never = [special.pad, special.unk, special.cls, special.sep, special.mask]
    places = [at for at, token in enumerate(ids) if token == special.mask]
    steps, scores = min(steps, len(places)), dict.fromkeys(places, 0.0)
    for step in range(steps):
        count = len(places) if not step else int(len(places) * (steps - step) / steps)
        for at in sorted(places, key=lambda at: (scores[at], at))[:count]:
            ids[at] = special.mask
        chances = model.model(torch.tensor([ids]))[0][0].log_softmax(1)
        chances[:, never] = -torch.inf
        for at in [at for at in places if ids[at] == special.mask]:
            scores[at], ids[at] = float(chances[at].max()), int(chances[at].argmax())
    return ids, [scores[at] for at in places]


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 50])
def test_masks_are_filled_together_as_mask_predict_does(model: PretrainedModel, steps: int) -> None:
    texts = ["A [MASK] [MASK] [MASK], and two [MASK]s [MASK] here.", "[MASK]", "x [MASK][MASK] y"]
    exact = PretrainedModel(model.model, model.tokenizer, precision="fp32")
    found = exact.fill_together(texts, steps=steps)
    assert found[0] == exact.fill_together(texts[0], steps=steps)
    for text, one in zip(texts, found, strict=True):
        ids, scores = naive(model, model.masked(text)[0], steps)
        places = [at for at, token in enumerate(model.masked(text)[0]) if token == model.tokenizer.special.mask]
        assert [entry["token"] for entry in one["tokens"]] == [ids[at] for at in places]
        assert one["score"] == pytest.approx(math.exp(sum(scores) / len(scores)), rel=1e-3)
        for part in text.split("[MASK]"):
            assert part.strip() in one["sequence"]
        assert "[MASK]" not in one["sequence"]


def test_runs_of_masks_are_written_as_words(model: PretrainedModel) -> None:
    """Pieces within a word join; the characters around stay as they were."""
    words = {name: model.tokenizer.id_of(name) for name in ("\u2581the", "s", "\u2581of")}
    text = "Ünder [MASK]  [MASK] [MASK], ok[MASK]"
    filling = Filling(text, model.masked(text), model.tokenizer, steps=1)
    scores = np.full((4, len(model.tokenizer.vocabulary)), -9.0)
    for row, name in enumerate(("\u2581the", "s", "\u2581of", "s")):
        scores[row, words[name]] = -0.5
    filling.take(scores)
    assert filling.done
    assert filling.result()["sequence"] == "Ünder thes of, oks"
    with pytest.raises(AlbertError, match="steps"):
        model.fill_together(text, steps=0)


def test_no_mask_and_too_long(model: PretrainedModel) -> None:
    for text, what in (("nothing to fill", r"\[MASK\] to fill"), ("[MASK] " + "word " * 100, "at most 64")):
        with pytest.raises(AlbertError, match=what) as caught:
            model.fill_mask(text)
        assert caught.value.kind is ErrorKind.DATA


def test_order_is_a_probability(model: PretrainedModel) -> None:
    assert 0 < model.in_order("It rained.", "So the match was cancelled.") < 1


def test_a_model_without_the_heads(tmp_path: Path, tokenizer: AlbertTokenizer) -> None:
    masked = PretrainedModel.load(write_model(tmp_path / "m", "masked_lm", tokenizer))
    assert len(masked.fill_mask("a [MASK] b")) == 5
    with pytest.raises(AlbertError, match="sentence order"):
        masked.in_order("a", "b")
    with pytest.raises(AlbertError, match="span"):
        PretrainedModel.load(write_model(tmp_path / "s", "span", tokenizer))
