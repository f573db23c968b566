"""The packed forward pass against the reference: any shape, any lengths, all heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.compute import compiled, packed, quantized
from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.engine import Engine, calibrate
from albert.errors import AlbertError
from albert.model import AlbertForTask
from albert.model.heads import HEADS
from rows import features

TASK_HEADS = [name for name in HEADS if name not in ("masked_lm", "pretraining")]
SMALL: dict[str, Any] = {"vocab_size": 60, "max_position_embeddings": 512, "id2label": ("a", "b", "c")}


def model(head: str, seed: int = 0, **shape: Any) -> AlbertForTask:
    """Random weights large enough to tell right from wrong."""
    wide = {**SMALL, "initializer_range": shape.get("hidden_size", 128) ** -0.5, **shape}
    config = AlbertConfig.named("tiny", **wide)
    made = AlbertForTask(config, head, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.3, 0.3, generator=torch.Generator().manual_seed(seed))
    return made.eval()


@torch.inference_mode()
def reference(one: AlbertForTask, rows: Features) -> list[np.ndarray]:
    """Each text by itself, nothing padded, in float32."""
    said = []
    for row in range(len(rows)):
        batch = rows.batch([row])
        said.append(one(batch.input_ids, token_type_ids=batch.token_type_ids)[0].numpy())
    return said


def error(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    assert [a.shape for a in found] == [b.shape for b in wanted]
    assert all(a.dtype == np.float32 for a in found)
    return max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True))


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    heads = draw(st.sampled_from([1, 2, 4]))
    groups = draw(st.integers(1, 3))
    sharing = draw(st.sampled_from(["all", "attention", "ffn", "none"]))
    return {
        "num_attention_heads": heads,
        "hidden_size": heads * draw(st.sampled_from([8, 16, 64, 80])),
        "embedding_size": draw(st.sampled_from([4, 16, 33])),
        "intermediate_size": draw(st.sampled_from([16, 40])),
        "num_hidden_layers": draw(st.integers(groups, 4)) if sharing == "all" else groups,
        "num_hidden_groups": groups,
        "inner_group_num": draw(st.integers(1, 2)),
        "sharing": sharing,
        "hidden_act": draw(st.sampled_from(["gelu", "gelu_new", "relu"])),
        "pooling": draw(st.sampled_from(["cls", "mean"])),
    }


@pytest.fixture(scope="module", params=["compiled", "PyTorch's operators"])
def attention(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both ways to attend, where there is a compiler."""
    if request.param != "compiled":
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(packed, "attention", lambda dtype, size: None)
            yield
    elif compiled.attention(torch.float32, 16) is None:
        pytest.skip("attention is not compiled on this machine")
    else:
        yield


@given(
    head=st.sampled_from(TASK_HEADS),
    shape=shapes(),
    lengths=st.lists(st.integers(1, 512), min_size=1, max_size=12),
    max_tokens=st.sampled_from([1, 64, 1000, 8192]),
)
@settings(max_examples=20)
def test_it_is_the_reference_in_float32(
    attention: None, head: str, shape: dict[str, Any], lengths: list[int], max_tokens: int
) -> None:
    one, rows = model(head, **shape), features(lengths)
    assert error(Engine(one, "fp32").logits(rows, max_tokens=max_tokens), reference(one, rows)) < 1e-5


@pytest.mark.parametrize("head", TASK_HEADS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_text_s_company_changes_little(attention: None, head: str, precision: Literal["fp32", "bf16"]) -> None:
    lengths = [3, 17, 17, 40, 9, 100, 41, 2, 17]
    one, rows = model(head, hidden_size=64, num_attention_heads=4, intermediate_size=128), features(lengths)
    engine = Engine(one, precision)
    together, alone = engine.logits(rows), engine.logits(rows, max_tokens=1)
    wanted = reference(one, rows)
    scale = max(float(np.abs(values).max()) for values in wanted)
    bound = {"fp32": 1e-5, "bf16": 0.03 * scale}[precision]
    assert error(together, alone) < bound
    assert error(together, wanted) < bound


def test_no_texts_have_no_logits() -> None:
    assert Engine(model("span")).logits(features([])) == []


@pytest.mark.parametrize("head", TASK_HEADS)
@pytest.mark.parametrize("groups", [1, 2])
def test_int8_stays_near_the_reference(attention: None, head: str, groups: int) -> None:
    shape = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "num_hidden_layers": 4}
    one = model(head, num_hidden_groups=groups, inner_group_num=2, **shape)
    rows = features([3, 17, 17, 40, 9, 100, 41, 2, 17])
    said = Engine(one, calibration=calibrate(one, features([60] * 20, seed=1))).logits(rows)
    wanted = reference(one, rows)
    spread = max(float(np.abs(values).max()) for values in wanted)
    assert 1e-4 < error(said, wanted) < 0.25 * spread


@pytest.mark.parametrize(("has_vnni", "greatest"), [(True, 127), (False, 63)])
def test_without_vnni_weights_leave_room_for_sums_in_16_bits(
    monkeypatch: pytest.MonkeyPatch, has_vnni: bool, greatest: int
) -> None:
    monkeypatch.setattr(quantized, "has_vnni", lambda: has_vnni)
    one = model("span")
    engine = Engine(one, calibration=calibrate(one, features([60] * 20, seed=1)))
    assert engine.packed is not None
    for product in engine.packed.depths[0][0].products:
        assert isinstance(product, quantized.QuantizedLinear)
        assert int(product.source.abs().max()) == greatest


def test_a_calibration_of_another_network_is_refused() -> None:
    found = calibrate(model("span", num_hidden_layers=3), features([9, 9]))
    with pytest.raises(AlbertError, match="int8 calibration"):
        Engine(model("span", num_hidden_layers=2), calibration=found)


@pytest.mark.parametrize("head", HEADS)
def test_states_are_those_of_the_encoder_whatever_the_head_reads(head: str) -> None:
    one, rows = model(head), features([5, 17, 1, 17, 40])
    batches = [rows.batch([row]) for row in range(len(rows))]
    with torch.inference_mode():
        wanted = [one.albert(b.input_ids, token_type_ids=b.token_type_ids).last_hidden_state[0] for b in batches]
    found = Engine(one, "fp32").states(rows)
    assert error(found, [states.numpy() for states in wanted]) < 1e-5
