"""The encoder in one call against the same encoder step by step, by products of our own and by PyTorch's."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.compute import compiled
from albert.compute.packed import Packed, PackedModel, bounds
from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.engine import Engine, calibrate
from albert.model import AlbertForTask
from precisions import HAS
from rows import features

ROWS = [3, 17, 17, 40, 9, 100]
ABLE = torch.cpu.get_capabilities()


@pytest.fixture(params=["ours", "PyTorch's"])
def ours(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whose products are called: PyTorch's where the processor says that it has AMX."""
    chosen = bool(request.param == "ours")
    if not chosen and not ABLE.get("avx512_bf16"):
        pytest.skip("PyTorch lays no weights out without bfloat16")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {**ABLE, "amx_tile": not chosen})
    return chosen


def packed_of(precision: str, activation: str = "gelu_new", **shape: int) -> tuple[Engine, PackedModel]:
    """Two groups of blocks, each used twice."""
    if compiled.function_of("encode", torch.float32) is None:
        pytest.skip("kernels are not compiled on this machine")
    shape = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 144, "num_hidden_layers": 4, **shape}
    config = AlbertConfig.named(
        "tiny", vocab_size=60, num_hidden_groups=2, initializer_range=0.1, id2label=("a", "b"), hidden_act=activation,
        **shape,
    )  # fmt: skip
    model = AlbertForTask(config, "token_classification", generator=torch.Generator().manual_seed(0)).eval()
    if precision == "int8":
        engine = Engine(model, calibration=calibrate(model, features([60] * 20, seed=1)))
    else:
        engine = Engine(model, precision)  # type: ignore[arg-type]
    assert engine.packed is not None
    return engine, engine.packed


def error(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """The greatest, of the greatest number there is."""
    most = max(float(np.abs(values).max()) for values in wanted)
    return max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True)) / most


@pytest.mark.skipif(
    shutil.which("g++") is None or not ABLE.get("avx2") or os.environ.get("ALBERT_COMPILE") == "0",
    reason="no g++, no AVX2, or ALBERT_COMPILE=0",
)
def test_where_there_is_a_compiler_it_is_compiled() -> None:
    assert compiled.function_of("encode", torch.float32) is not None


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-5), ("bf16", 0.02), ("int8", 0.05)])
def test_it_is_the_same(precision: str, bound: float, activation: str, ours: bool) -> None:
    if not HAS[precision]:
        pytest.skip(f"no {precision} here")
    engine, packed = packed_of(precision, activation)
    assert packed.fused is not None
    assert packed.fused.ours == ours
    rows: Features = features(ROWS)
    said = engine.logits(rows)
    packed.fused = None
    assert error(said, engine.logits(rows)) < bound


@settings(max_examples=25, deadline=None)
@given(
    tokens=st.integers(1, 70), heads=st.integers(1, 5), inner=st.integers(1, 9), embedding=st.integers(1, 4),
    first=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_shape_and_number_of_rows(
    tokens: int, heads: int, inner: int, embedding: int, first: bool, seed: int
) -> None:
    """Panels that are not full, tiles of one to six rows, texts of any length, with and without a mapping."""
    _, packed = packed_of(
        "fp32", hidden_size=16 * heads, num_attention_heads=heads, intermediate_size=16 * inner,
        embedding_size=16 * embedding,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    cuts = np.unique(rng.integers(1, tokens + 1, 3))
    lengths = np.diff(np.append(0, np.append(cuts[cuts < tokens], tokens)))
    rows = Packed(torch.from_numpy(rng.integers(0, 60, tokens)), torch.from_numpy(rng.integers(0, 2, tokens)), lengths)
    starts, read = bounds(lengths), len(lengths) if first else tokens
    assert packed.fused is not None
    with torch.inference_mode():
        said = packed.run(packed.embed(rows, starts), starts, first=first)[:read]
        packed.fused = None
        wanted = packed.run(packed.embed(rows, starts), starts, first=first)[:read]
    assert error([said.numpy()], [wanted.numpy()]) < 1e-5


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
def test_tails_of_the_activation(activation: str) -> None:
    """Also where inputs are so large that powers in it overflow."""
    _, packed = packed_of("fp32", activation)
    block, _ = packed.depths[0]
    with torch.no_grad():
        block.inner.source.mul_(300)  # type: ignore[attr-defined]
    x, starts = torch.randn(40, 64, generator=torch.Generator().manual_seed(0)), np.array([0, 40])
    said = packed.run(x, starts, depths=slice(1))
    packed.fused = None
    wanted = packed.run(x, starts, depths=slice(1))
    assert torch.isfinite(said).all()
    assert error([said.numpy()], [wanted.numpy()[: len(said)]]) < 1e-5


def test_where_it_fails_the_encoder_goes_step_by_step(ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, packed = packed_of("fp32")
    said = engine.logits(features(ROWS))
    failures: list[object] = []

    def fail(*arguments: object) -> int:
        failures.append(arguments)
        return 1

    monkeypatch.setattr(packed.fused, "_embed", fail)
    monkeypatch.setattr(packed.fused, "_encode", fail)
    assert error(said, engine.logits(features(ROWS))) < 1e-5
    assert len(failures) == 2


@pytest.mark.parametrize(("row", "value"), [(0, 60), (0, -1), (1, 2)])
def test_ids_beyond_a_table_raise(ours: bool, row: int, value: int) -> None:
    _, packed = packed_of("fp32")
    ids = torch.ones(2, 5, dtype=torch.int64)
    ids[row, 3] = value
    with pytest.raises(IndexError, match="index out of range"):
        packed.embed(Packed(*ids, np.array([5])), np.array([0, 5]))


def test_weights_go_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reloaded model must not stay in memory."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {**ABLE, "amx_tile": True})
    if compiled.function_of("encode", torch.bfloat16) is None:
        pytest.skip("kernels are not compiled on this machine, or not for bfloat16")
    _, packed = packed_of("bf16")
    assert packed.fused is not None
    weight = packed.depths[0][0].qkv.weight  # type: ignore[attr-defined]
    held = weight._use_count()
    packed.fused = None
    assert weight._use_count() < held
