"""The decoder against torch.nn.TransformerDecoder, cached against uncached, and what it shares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from albert.compute.covers import covers, unknown
from albert.config import AlbertConfig, DecoderConfig
from albert.errors import AlbertError, ErrorKind
from albert.model.decoder import AlbertForText2Text, DecoderLayer, Past
from albert.model.network import ACTIVATIONS, Attention
from conftest import random_ids, small_config

CLOSE: dict[str, float] = {"atol": 1e-5, "rtol": 0}


def build(decoder: dict[str, Any] | None = None, **overrides: object) -> AlbertForText2Text:
    """A small network whose weights are large enough that every part of it shows in the numbers."""
    config = small_config(decoder=DecoderConfig(**(decoder or {})), initializer_range=0.2, id2label=(), **overrides)
    return AlbertForText2Text(config, generator=torch.Generator().manual_seed(0)).eval()


def targets(rows: int, length: int, seed: int = 1) -> Tensor:
    return torch.randint(5, 61, (rows, length), generator=torch.Generator().manual_seed(seed))


def copy_attention(theirs: nn.MultiheadAttention, ours: Attention) -> None:
    parts = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.weight.copy_(ours.output.weight)
    theirs.out_proj.bias.copy_(ours.output.bias)


def torch_layer(config: AlbertConfig, ours: DecoderLayer) -> nn.TransformerDecoderLayer:
    """PyTorch's own layer with the same weights: post-LN, batch first."""
    layer = nn.TransformerDecoderLayer(
        config.hidden_size, config.num_attention_heads, config.intermediate_size, 0.0,
        ACTIVATIONS[config.hidden_act], config.layer_norm_eps, batch_first=True, norm_first=False,
    )  # fmt: skip
    with torch.no_grad():
        copy_attention(layer.self_attn, ours.attention)
        copy_attention(layer.multihead_attn, ours.cross)
        pairs = [(layer.linear1, ours.ffn.inner), (layer.linear2, ours.ffn.outer), (layer.norm1, ours.attention.norm),
                 (layer.norm2, ours.cross.norm), (layer.norm3, ours.ffn.norm)]  # fmt: skip
        for theirs, own in pairs:
            theirs.load_state_dict(own.state_dict())
    return layer.eval()


def torch_decoder(model: AlbertForText2Text) -> nn.TransformerDecoder:
    """As many layers as the decoder has depths, each with the weights of the block that ours runs there."""
    blocks = model.decoder.blocks()
    layers = [torch_layer(model.config, blocks[block]) for block in model.decoder.layers()]
    decoder = nn.TransformerDecoder(layers[0], len(layers))
    decoder.layers = nn.ModuleList(layers)
    return decoder.eval()


@torch.inference_mode()
def torch_logits(model: AlbertForText2Text, source: dict[str, Tensor], written: Tensor) -> Tensor:
    memory = model.albert(**source).last_hidden_state
    types = torch.full_like(written, model.config.type_vocab_size - 1)
    x = model.albert.encoder.mapping(model.albert.embeddings(written, types))
    causal = nn.Transformer.generate_square_subsequent_mask(written.shape[1])
    padding = source["attention_mask"] == 0
    hidden = torch_decoder(model)(x, memory, tgt_mask=causal, memory_key_padding_mask=padding, tgt_is_causal=True)
    return model.head(hidden, model.albert.embeddings.word.weight)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("decoder", "network"),
    [
        ({}, {}),
        ({"share_with_encoder": True}, {}),
        ({"decoder_layers": 6, "decoder_groups": 3}, {"hidden_act": "relu"}),
        ({"share_with_encoder": True, "decoder_layers": 2}, {"num_hidden_groups": 2, "inner_group_num": 2}),
        ({"decoder_layers": 1}, {"embedding_size": 32, "embedding_projection": False, "type_vocab_size": 1}),
        ({}, {"sharing": "none", "num_hidden_groups": 4}),
    ],
)
def test_logits_are_those_of_torchs_decoder(decoder: dict[str, Any], network: dict[str, Any]) -> None:
    model = build(decoder, **network)
    source, written = random_ids((3, 9)), targets(3, 7)
    source["token_type_ids"] = source["token_type_ids"] % model.config.type_vocab_size
    with torch.inference_mode():
        ours = model.logits(model(source["input_ids"], written, attention_mask=source["attention_mask"],
                                  token_type_ids=source["token_type_ids"]))  # fmt: skip
    assert ours.abs().max() > 0.5
    torch.testing.assert_close(ours, torch_logits(model, source, written), **CLOSE)


@settings(max_examples=25)
@given(st.integers(1, 4), st.integers(1, 12), st.integers(1, 10), st.data())
def test_the_cache_changes_nothing(texts: int, source: int, length: int, data: st.DataObject) -> None:
    """Pieces fed one by one, or in portions, give what all at once give."""
    model = build({"decoder_groups": 2, "decoder_layers": 3}, max_position_embeddings=12)
    ids = torch.randint(5, 61, (texts, source), generator=torch.Generator().manual_seed(2))
    written = targets(texts, length)
    cuts = sorted(data.draw(st.sets(st.integers(1, length), max_size=length)) | {length})
    with torch.inference_mode():
        memory = model.read(ids)
        whole = model.write(written, memory)[0]
        past: Past | None = None
        parts, start = [], 0
        for end in cuts:
            part, past = model.write(written[:, start:end], memory, past)
            parts.append(part)
            start = end
    torch.testing.assert_close(torch.cat(parts, 1), whole, **CLOSE)


@settings(max_examples=25)
@given(st.integers(2, 5), st.integers(2, 10), st.integers(1, 8))
def test_a_batch_gives_what_each_text_gives_alone(texts: int, seq: int, length: int) -> None:
    model = build()
    source, written = random_ids((texts, seq)), targets(texts, length)
    with torch.inference_mode():
        together = model(source["input_ids"], written, attention_mask=source["attention_mask"])
        for row in range(texts):
            real = int(source["attention_mask"][row].sum())
            alone = model(source["input_ids"][row : row + 1, :real], written[row : row + 1])
            torch.testing.assert_close(alone[0], together[row], **CLOSE)


def test_rows_of_one_text_read_its_memory_side_by_side() -> None:
    model = build()
    source, written = random_ids((2, 6)), targets(6, 4)
    with torch.inference_mode():
        memory = model.read(source["input_ids"], attention_mask=source["attention_mask"])
        beside = model.write(written, memory)[0]
        thrice = memory.of(torch.tensor([0, 0, 0, 1, 1, 1]))
        torch.testing.assert_close(beside, model.write(written, thrice)[0], **CLOSE)


def test_what_comes_later_changes_nothing_before_it() -> None:
    model = build()
    ids, written = targets(1, 5, seed=3), targets(1, 6)
    other = written.clone()
    other[0, 4:] = 7
    with torch.inference_mode():
        assert torch.equal(model(ids, written)[:, :4], model(ids, other)[:, :4])


def test_sharing_leaves_cross_attention_alone_as_new_weights() -> None:
    shared, own = build({"share_with_encoder": True}), build()
    block = shared.decoder.blocks()[0]
    assert block.attention is shared.albert.encoder.groups[0][0].attention  # type: ignore[index]
    assert block.ffn is shared.albert.encoder.groups[0][0].ffn  # type: ignore[index]

    def count(model: nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    encoder = own.albert.encoder.groups[0][0]  # type: ignore[index]
    assert count(own) - count(shared) == count(encoder.attention) + count(encoder.ffn)
    assert count(shared) == count(shared.albert) + count(block.cross) + count(shared.head)


def test_loops_cost_no_weights() -> None:
    def size(layers: int) -> int:
        return sum(parameter.numel() for parameter in build({"decoder_layers": layers}).parameters())

    assert size(1) == size(9)


# --- its section of config.json ----------------------------------------------------------------------------


@pytest.mark.parametrize("window", [None, 4])
def test_config_round_trips(window: int | None) -> None:
    config = small_config(decoder=DecoderConfig(decoder_layers=3, share_with_encoder=True), attention_window=window)
    raw = json.loads(json.dumps(config.to_dict()))
    assert raw["decoder"] == {"decoder_layers": 3, "decoder_groups": 0, "share_with_encoder": True}
    assert raw["model_type"] == ("albert-text2text" if window is None else "albert-windowed-text2text")
    assert AlbertConfig.from_dict(raw) == config


def test_an_encoders_config_json_has_no_new_key() -> None:
    raw = small_config().to_dict()
    assert "decoder" not in raw
    assert raw["model_type"] == "albert"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model_type": "albert"}, "no section"),
        ({"decoder": None}, 'a section "decoder"'),
        ({"decoder": [1]}, "an object"),
        ({"decoder": {"decoder_layers": "six"}}, "decoder_layers"),
        ({"decoder": {"decoder_layers": 1e9}}, "decoder_layers"),
        ({"decoder": {"decoder_layers": 100_000}}, "decoder_layers"),
        ({"decoder": {"share_with_encoder": 1}}, "share_with_encoder"),
        ({"decoder": {"decoder_layers": 2, "decoder_groups": 4}}, "decoder_groups"),
        ({"decoder": {"decoder_groups": 2, "share_with_encoder": True}}, "share_with_encoder"),
    ],
)
def test_a_section_that_fits_no_network_is_refused(changes: dict[str, Any], told: str) -> None:
    raw = {**small_config(decoder=DecoderConfig()).to_dict(), **changes}
    with pytest.raises(AlbertError, match=told) as caught:
        AlbertConfig.from_dict(raw)
    assert caught.value.kind is ErrorKind.CONFIG


def test_a_decoder_counts_for_the_limit_of_parameters() -> None:
    sizes = {"hidden_size": 16_384, "intermediate_size": 131_072, "num_attention_heads": 1, "num_hidden_layers": 3}
    AlbertConfig(**sizes, num_hidden_groups=3)  # type: ignore[arg-type]
    with pytest.raises(AlbertError, match="parameters"):
        AlbertConfig(**sizes, num_hidden_groups=3, decoder=DecoderConfig())  # type: ignore[arg-type]


def test_partial_sharing_beside_a_decoder_is_refused() -> None:
    with pytest.raises(AlbertError, match="sharing"):
        small_config(decoder=DecoderConfig(), sharing="ffn", num_hidden_groups=4)


def test_fast_forms_refuse_it() -> None:
    config = small_config(decoder=DecoderConfig())
    assert not covers(config, None)
    assert any("decoder" in what for what in unknown(config, "masked_lm", windows=True))


def test_transformers_refuses_it(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(json.dumps(small_config(decoder=DecoderConfig()).to_dict()))
    with pytest.raises(ValueError, match="albert-text2text"):
        transformers.AutoConfig.from_pretrained(tmp_path)
