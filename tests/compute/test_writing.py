"""The fast form of a network that writes against the network itself, in every precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from albert.compute import compiled
from albert.compute.blocks import Linear
from albert.compute.covers import covers
from albert.compute.precision import has_vnni
from albert.compute.quantized import QuantizedLinear
from albert.compute.writing import FastWriting, fast_writing
from albert.config import DecoderConfig
from albert.errors import AlbertError, ErrorKind
from albert.generation import Alphabet, GenerationOptions, Hypothesis, Network, Search, begin
from albert.generation.writing import read_on
from albert.model import AlbertForText2Text
from conftest import random_ids, small_config
from precisions import HAS

Named = Literal["fp32", "bf16", "int8"]
PRECISIONS: list[Any] = ["fp32", "bf16", "int8"]
BOUNDS = {"fp32": 1e-5, "bf16": 0.03, "int8": 0.08 if has_vnni() else 0.16}  # of the greatest score
SHAPE = {"hidden_size": 64, "num_attention_heads": 4, "embedding_size": 32, "intermediate_size": 144,
         "num_hidden_layers": 2, "initializer_range": 0.2, "id2label": ()}  # fmt: skip


def build(decoder: dict[str, Any] | None = None, **overrides: Any) -> AlbertForText2Text:
    config = small_config(**{**SHAPE, "decoder": DecoderConfig(**(decoder or {})), **overrides})
    return AlbertForText2Text(config, generator=torch.Generator().manual_seed(0)).eval()


def fast(model: AlbertForText2Text, precision: Named) -> FastWriting:
    if compiled.function_of("decode", torch.float32) is None:
        pytest.skip("kernels are not compiled on this machine")
    if not HAS[precision]:
        pytest.skip(f"no {precision} here")
    form = fast_writing(model, precision)
    assert form is not None
    assert form.precision == precision
    return form


def targets(rows: int, length: int) -> Tensor:
    return torch.randint(5, 61, (rows, length), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def logits(network: Any, source: dict[str, Tensor], first: Tensor, rows: Tensor, second: Tensor) -> Tensor:
    """Of pieces behind some rows of those that were written first."""
    memory = network.read(**source)
    past = None
    for pieces in first.split(1, 1):
        _, [past] = network.write_each([(pieces, memory, past)])
    past = past.of(rows)  # type: ignore[attr-defined]
    for pieces in second.split(1, 1):
        hidden, [past] = network.write_each([(pieces, memory, past)])
    assert past.length == first.shape[1] + second.shape[1]
    return network.logits(hidden)  # type: ignore[no-any-return]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("decoder", "network"),
    [
        ({}, {}),
        ({"share_with_encoder": True}, {"hidden_act": "relu"}),
        ({"decoder_layers": 5, "decoder_groups": 3}, {"hidden_act": "gelu"}),
        ({"decoder_layers": 1}, {"num_hidden_groups": 2, "inner_group_num": 2, "vocab_size": 67}),
        ({}, {"embedding_size": 64, "embedding_projection": False, "type_vocab_size": 1}),
        ({"decoder_layers": 3}, {"sharing": "none", "num_hidden_groups": 2}),
    ],
)
def test_scores_are_those_of_the_network(decoder: dict[str, Any], network: dict[str, Any], precision: Named) -> None:
    """Also where a beam goes on with other rows, of texts with padding."""
    model = build(decoder, **network)
    source = random_ids((3, 9))
    source["token_type_ids"] = source["token_type_ids"] % model.config.type_vocab_size
    steps = (targets(6, 4), torch.tensor([1, 1, 2, 3, 5, 4]), targets(6, 2))
    wanted, found = (logits(each, source, *steps) for each in (model, fast(model, precision)))
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < BOUNDS[precision] * wanted.abs().max()


@settings(max_examples=25)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 70), st.booleans(), st.integers(0, 99))
def test_rows_in_int8_have_their_own_ranges(rows: int, width: int, out: int, negative: bool, seed: int) -> None:
    """The kernel against PyTorch's operators; rows of very different sizes, and of zeros, do not disturb each other."""
    form = fast(build(), "int8")
    rng = torch.Generator().manual_seed(seed)
    linear = nn.Linear(16 * width, 16 * out)
    nn.init.normal_(linear.weight, generator=rng)
    x = torch.randn(rows, 16 * width, generator=rng) * torch.logspace(-3, 3, rows)[:, None]
    x = (x if negative else x.abs()).to(form.dtype)
    x[rows // 2] = 0
    product = QuantizedLinear(Linear(form.dtype, linear))
    with torch.inference_mode():
        wanted, found = product(x, 0).float(), form._multiplied(form._native(product), x).float()
    most = wanted.abs().amax(1, keepdim=True)
    assert ((found - wanted).abs() <= 0.01 * most).all()
    exact = x.float() @ linear.weight.detach().T + linear.bias.detach().to(form.dtype)
    assert ((found - exact).abs() <= 0.05 * exact.abs().amax(1, keepdim=True)).all()


ALPHABET = Alphabet(begin=2, end=3, never=(0, 1, 2, 4))
OPTIONS: list[dict[str, Any]] = [
    {},
    {"beam": 4},
    {"beam": 3, "early_stop": False, "no_repeat_ngram": 2, "repetition_penalty": 1.5},
    {"sample": True, "seed": 7},
]


def search(network: Network, rows: list[int], **options: Any) -> Search:
    source = random_ids((6, 9))
    chosen = [source[name][rows] for name in ("input_ids", "attention_mask", "token_type_ids")]
    longest = int(chosen[1].sum(1).max())
    ids, mask, types = (part[:, :longest] for part in chosen)
    return begin(network, ids, mask, types, alphabet=ALPHABET, count=2 if options else 1,
                 options=GenerationOptions(max_length=12, **options))  # fmt: skip


def written(network: Network, rows: list[int], **options: Any) -> list[list[Hypothesis]]:
    return search(network, rows, **options).run()


@pytest.mark.parametrize("options", OPTIONS)
def test_in_float32_it_writes_what_the_network_writes(options: dict[str, Any]) -> None:
    model = build(initializer_range=0.4)
    wanted, found = (written(each, [0, 1, 2, 3, 4, 5], **options) for each in (model, fast(model, "fp32")))
    assert [[one.pieces for one in each] for each in found] == [[one.pieces for one in each] for each in wanted]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("options", OPTIONS)
def test_a_text_gets_the_same_answers_in_any_batch_to_the_last_bit(precision: Named, options: dict[str, Any]) -> None:
    form = fast(build(initializer_range=0.4), precision)
    together = written(form, [0, 1, 2, 3, 4, 5], **options)
    assert written(form, [5, 4, 3, 2, 1, 0], **options)[::-1] == together
    assert [written(form, [row], **options)[0] for row in range(6)] == together


@pytest.mark.parametrize("precision", PRECISIONS)
def test_searches_that_go_on_together_write_what_each_writes_alone_to_the_last_bit(precision: Named) -> None:
    """With other options, other numbers of texts and rows, and each begun at another step."""
    form = fast(build(initializer_range=0.4), precision)
    kinds = [([number % 6, 5][: 1 + number % 2], options) for number, options in enumerate(OPTIONS * 2)]
    alone = [written(form, rows, **options) for rows, options in kinds]
    coming = [search(form, rows, **options) for rows, options in kinds]
    every, going = list(coming), list[Search]()
    while coming or going:
        going += [coming.pop(0)] if coming else []
        read_on([one.rows for one in going])
        for one in going:
            room = one.rows.past.steps[-1]
            assert room.untyped_storage().nbytes() == room.nbytes  # of its own: others may end earlier
            one.step()
        going = [one for one in going if not one.done]
    assert [one.best() for one in every] == alone


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_show(precision: Named, value: float) -> None:
    """int8 has no such numbers, so that they could get lost between two products."""
    model = build()
    with torch.no_grad():
        model.decoder.blocks()[0].ffn.inner.bias[3] = value
    steps = (targets(2, 1), torch.tensor([0, 1]), targets(2, 1))
    assert logits(fast(model, precision), random_ids((2, 5)), *steps).isnan().all()


# --- what it does not know ---------------------------------------------------------------------------------


def test_a_new_field_of_the_decoder_is_refused_until_it_is_known() -> None:
    @dataclass(frozen=True)
    class Wider(DecoderConfig):
        gated: bool = False

    assert covers(small_config(decoder=Wider()), "masked_lm", decoder=True)
    config = small_config(decoder=Wider(gated=True))
    assert not covers(config, "masked_lm", decoder=True)
    model = AlbertForText2Text(config)
    assert fast_writing(model, "auto") is None
    with pytest.raises(AlbertError, match="gated=True"):
        fast_writing(model, "int8")


@pytest.mark.parametrize("changes", [{"num_attention_heads": 8}, {"embedding_size": 24}, {"attention_window": 4}])
def test_other_networks_write_in_float32_alone(changes: dict[str, Any]) -> None:
    model = build(**changes)
    assert fast_writing(model, "auto") is None
    assert fast_writing(model, "fp32") is None
    for precision in ("bf16", "int8"):
        with pytest.raises(AlbertError, match=f"--precision {precision}: expected auto or fp32") as caught:
            fast_writing(model, precision)  # type: ignore[arg-type]
        assert caught.value.kind is ErrorKind.USAGE


def test_a_processor_without_them_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build()
    fast(model, "fp32")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    form = fast_writing(model, "auto")
    assert form is not None
    assert form.precision == "fp32"
    for precision in ("bf16", "int8"):
        with pytest.raises(AlbertError, match=f"without products in {precision}"):
            fast_writing(model, precision)  # type: ignore[arg-type]
