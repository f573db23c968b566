"""The engine on BERT: blocks of their own at every depth, no mapping, heads of size 32 as MiniLM has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from albert.config import AlbertConfig
from albert.engine import Engine, calibrate
from albert.model import AlbertForTask
from precisions import HAS
from rows import features

HEADS = ["sequence_classification", "token_classification", "span", "embedding"]
BOUNDS = {"fp32": 1e-5, "bf16": 0.03, "int8": 0.15}
ABLE = torch.cpu.get_capabilities()
LENGTHS = [3, 17, 17, 40, 9, 100]


def bert(head: str, **shape: Any) -> AlbertForTask:
    """Weights large enough to tell right from wrong."""
    config = AlbertConfig.named(
        "bert-base", vocab_size=60, hidden_size=96, embedding_size=96, num_attention_heads=3, intermediate_size=192,
        num_hidden_layers=3, initializer_range=0.1, id2label=("a", "b", "c"), model_type="bert", **shape,
    )  # fmt: skip
    return AlbertForTask(config, head, generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture(params=["ours", "PyTorch's", "step by step"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By products of ours, of PyTorch (where the processor says that it has AMX), or without the one call."""
    way = str(request.param)
    if way == "PyTorch's" and not ABLE.get("avx512_bf16"):
        pytest.skip("PyTorch lays no weights out without bfloat16")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {**ABLE, "amx_tile": way == "PyTorch's"})
    return way


@torch.inference_mode()
def reference(model: AlbertForTask) -> list[np.ndarray]:
    rows, said = features(LENGTHS), []
    for row in range(len(rows)):
        batch = rows.batch([row])
        said.append(model(batch.input_ids, token_type_ids=batch.token_type_ids)[0].numpy())
    return said


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("head", HEADS)
def test_it_is_the_reference(head: str, precision: str, way: str) -> None:
    if not HAS[precision]:
        pytest.skip(f"no {precision} here")
    model, rows = bert(head), features(LENGTHS)
    if precision == "int8":
        engine = Engine(model, calibration=calibrate(model, features([60] * 20, seed=1)))
    else:
        engine = Engine(model, precision)  # type: ignore[arg-type]
    assert engine.packed is not None
    if way == "step by step":
        engine.packed.fused = None
    elif HAS[precision] and engine.packed.compiled is not None:
        assert engine.packed.fused is not None
        assert engine.packed.fused.ours == (way == "ours")
    wanted = reference(model)
    most = max(float(np.abs(values).max()) for values in wanted)
    for said, right in zip(engine.logits(rows), wanted, strict=True):
        assert said.shape == right.shape
        assert np.abs(said - right).max() < BOUNDS[precision] * max(most, 1)


def test_states_are_those_of_the_reference() -> None:
    model, rows = bert("sequence_classification"), features(LENGTHS)
    for index, said in enumerate(Engine(model, "fp32").states(rows)):
        batch = rows.batch([index])
        with torch.inference_mode():
            hidden = model.albert(batch.input_ids, token_type_ids=batch.token_type_ids).last_hidden_state[0]
        assert np.abs(said - hidden.numpy()).max() < 1e-5
