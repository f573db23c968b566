"""Model folders of networks with a decoder: saved, loaded, started from, and refused by who cannot read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from albert.config import DecoderConfig
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, AlbertForText2Text, load_encoder, load_model, load_text2text, save_model
from albert.model.checkpoint import start_from, start_text2text
from conftest import small_config

GROUPS = {"num_hidden_groups": 2}


def network(decoder: dict[str, Any] | None = None, **overrides: object) -> AlbertForText2Text:
    config = small_config(decoder=DecoderConfig(**(decoder or {})), id2label=(), **overrides)
    return AlbertForText2Text(config, generator=torch.Generator().manual_seed(0)).eval()


def states_equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("decoder", "overrides"),
    [
        ({}, {}),
        ({"share_with_encoder": True}, GROUPS),
        ({"decoder_layers": 3, "decoder_groups": 3}, {"inner_group_num": 2}),
        ({}, {"embedding_size": 32, "embedding_projection": False}),
        ({}, {"model_type": "bert", "sharing": "none", "embedding_size": 32, "embedding_projection": False,
              "num_hidden_groups": 4}),
    ],
)  # fmt: skip
def test_saved_and_loaded_is_the_same_network(
    tmp_path: Path, decoder: dict[str, Any], overrides: dict[str, Any]
) -> None:
    model = network(decoder, **overrides)
    save_model(model, tmp_path)
    again = load_text2text(tmp_path)
    assert again.config == model.config
    assert states_equal(again, model)


def test_shared_parts_are_stored_once_and_shared_again(tmp_path: Path) -> None:
    save_model(network({"share_with_encoder": True}), tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert {name.split(".")[4] for name in stored if name.startswith("decoder.")} == {"cross"}
    again = load_text2text(tmp_path)
    assert again.decoder.blocks()[0].ffn is again.albert.encoder.groups[0][0].ffn  # type: ignore[index]


def test_missing_and_other_tensors_are_told(tmp_path: Path) -> None:
    save_model(network(), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["decoder.groups.0.0.cross.key.weight"]
    tensors["decoder.groups.0.0.ffn.inner.weight"] = torch.zeros(2, 2)
    tensors["decoder.groups.7.0.ffn.inner.weight"] = torch.zeros(2, 2)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(AlbertError) as caught:
        load_text2text(tmp_path)
    assert caught.value.kind is ErrorKind.MODEL
    for line in ("- decoder.groups.0.0.cross.key.weight", "! decoder.groups.0.0.ffn.inner.weight",
                 "+ decoder.groups.7.0.ffn.inner.weight"):  # fmt: skip
        assert line in str(caught.value)


def test_a_model_for_labels_does_not_load_from_it_but_its_encoder_does(tmp_path: Path) -> None:
    model = network()
    save_model(model, tmp_path)
    with pytest.raises(AlbertError, match="writes texts") as caught:
        load_model(tmp_path)
    assert caught.value.kind is ErrorKind.MODEL
    encoder = load_encoder(tmp_path)
    assert encoder.config.decoder is None
    assert states_equal(encoder, model.albert)
    labels = encoder.config.with_(id2label=("a", "b"))
    started, _ = start_from(tmp_path, labels, "sequence_classification", torch.Generator().manual_seed(0))
    assert torch.equal(started.albert.embeddings.word.weight, model.albert.embeddings.word.weight)


@pytest.mark.parametrize("head", ["sequence_classification", "pretraining", "masked_lm", "span"])
@pytest.mark.parametrize("decoder", [{}, {"share_with_encoder": True}, {"decoder_layers": 2, "decoder_groups": 1}])
def test_any_encoder_starts_it(tmp_path: Path, head: str, decoder: dict[str, Any]) -> None:
    encoder = AlbertForTask(small_config(**GROUPS), head, generator=torch.Generator().manual_seed(3))
    save_model(encoder, tmp_path)
    config = encoder.config.with_(decoder=DecoderConfig(**decoder), id2label=())
    model, drawn = start_text2text(tmp_path, config, torch.Generator().manual_seed(0))
    first = model.albert.encoder.groups[0][0]  # type: ignore[index]
    assert torch.equal(first.ffn.inner.weight, encoder.albert.encoder.groups[0][0].ffn.inner.weight)  # type: ignore[index]
    assert torch.equal(model.decoder.blocks()[0].ffn.inner.weight, first.ffn.inner.weight)
    assert torch.equal(model.decoder.blocks()[0].attention.value.bias, first.attention.value.bias)
    names_pieces = head in ("pretraining", "masked_lm")
    assert drawn == (["cross-attention"] if names_pieces else ["cross-attention", "head", "head.dense", "head.norm"])
    if head == "masked_lm":
        assert torch.equal(model.head.dense.weight, encoder.head.dense.weight)  # type: ignore[union-attr]


def test_one_of_its_kind_starts_it_whole(tmp_path: Path) -> None:
    model = network(**GROUPS)
    save_model(model, tmp_path)
    again, drawn = start_text2text(tmp_path, model.config, torch.Generator().manual_seed(5))
    assert states_equal(again, model)
    assert drawn == []
