"""The fast loop over layers against the reference: outputs and every gradient."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.compute import train_step as fast
from albert.compute.products import product, rows_for
from albert.config import AlbertConfig
from albert.model import AlbertForTask, AlbertModel
from albert.model.heads import HEADS
from conftest import random_ids, small_config

TOLERANCE = 1e-5
VARIANTS: dict[str, dict[str, object]] = {
    "shared": {},
    "groups-2-inner-2": {"num_hidden_groups": 2, "inner_group_num": 2},
    "gelu-erf": {"hidden_act": "gelu"},
    "relu": {"hidden_act": "relu"},
    "attention-shared": {"sharing": "attention", "num_hidden_groups": 4},
    "ffn-shared": {"sharing": "ffn", "num_hidden_groups": 4},
    "bert": {"sharing": "none", "num_hidden_groups": 4, "embedding_projection": False, "embedding_size": 32},
    "one-layer": {"num_hidden_layers": 1},
}


def random_model(config: AlbertConfig) -> AlbertModel:
    """Weights far from initialisation: biases and LayerNorms must matter too."""
    torch.manual_seed(0)
    model = AlbertModel(config, pooler=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return model


def outputs_and_gradients(
    model: AlbertModel, inputs: dict[str, torch.Tensor], positions: torch.Tensor, *, quick: bool
) -> dict[str, torch.Tensor]:
    """The hidden states at `positions` and the gradient of a random projection of them, by name."""
    model.zero_grad()
    hidden = (
        fast.encode_positions(model, **inputs, positions=positions)
        if quick
        else model(**inputs).last_hidden_state.flatten(0, 1)[positions]
    )
    generator = torch.Generator().manual_seed(2)
    (hidden.float() * torch.randn(hidden.shape, generator=generator)).mean().backward()
    return {"hidden": hidden.detach(), **{name: p.grad for name, p in model.named_parameters() if p.grad is not None}}


def assert_equal_to_reference(model: AlbertModel, inputs: dict[str, torch.Tensor], positions: torch.Tensor) -> None:
    mine = outputs_and_gradients(model, inputs, positions, quick=True)
    reference = outputs_and_gradients(model, inputs, positions, quick=False)
    assert mine.keys() == reference.keys()
    for name, value in reference.items():
        assert (mine[name] - value).abs().max() < TOLERANCE, name


def real_positions(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return inputs["attention_mask"].flatten().nonzero().flatten()


@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_and_gradients_are_the_reference(variant: str) -> None:
    inputs = random_ids((3, 11))
    assert_equal_to_reference(random_model(small_config(**VARIANTS[variant])), inputs, real_positions(inputs))


def test_fewer_loops_than_configured_are_the_reference() -> None:
    model, inputs = random_model(small_config()), random_ids((2, 8))
    model.encoder.num_layers = 2
    assert_equal_to_reference(model, inputs, real_positions(inputs))


@settings(max_examples=30)
@given(rows=st.integers(1, 4), seq=st.integers(2, 20), seed=st.integers(0, 99), padded=st.booleans(), data=st.data())
def test_any_shape_and_any_positions(rows: int, seq: int, seed: int, padded: bool, data: st.DataObject) -> None:
    inputs = random_ids((rows, seq), seed=seed)
    if not padded:
        inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    real = real_positions(inputs)
    chosen = data.draw(st.lists(st.integers(0, len(real) - 1), min_size=1))  # repeats too
    assert_equal_to_reference(random_model(small_config()), inputs, real[chosen])


@given(tokens=st.integers(1, 100_000), sizes=st.sampled_from([4, 8, 32]))
def test_rows_are_filled_up_to_few_numbers(tokens: int, sizes: int) -> None:
    rows = rows_for(tokens, sizes)
    octave = {rows_for(n, sizes) for n in range(1 << tokens.bit_length() >> 1, 1 << tokens.bit_length())}
    assert tokens <= rows <= max(tokens + 7, tokens * (1 + 1 / sizes))
    assert len(octave) <= sizes + 1  # the next octave's first is among them


def test_products_meet_few_numbers_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN makes and keeps a kernel for each of them."""
    seen = set()

    def watched(x: torch.Tensor, *arguments: object, **options: object) -> torch.Tensor:
        seen.add(len(x))
        return product(x, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fast, "product", watched)
    model, tokens = random_model(small_config()), set()
    for seed in range(60):
        inputs = random_ids((1 + seed % 8, 2 + seed % 31), seed=seed)
        real = real_positions(inputs)
        tokens.add(len(real))
        fast.encode_positions(model, **inputs, positions=real[::7]).sum().backward()
    assert len(tokens) > 40
    assert len(seen) <= 26


def attend_in_bfloat16(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, *, dropout: float
) -> torch.Tensor:
    """Attention as autocast computes it; the reference's own learns in float32."""
    return torch.nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask, dropout_p=dropout)


def test_bf16_is_as_close_to_float32_as_the_reference_under_autocast() -> None:
    model, inputs = random_model(small_config()), random_ids((4, 16))
    positions = real_positions(inputs)
    exact = outputs_and_gradients(model, inputs, positions, quick=False)
    with torch.autocast("cpu", torch.bfloat16):
        mine = outputs_and_gradients(model, inputs, positions, quick=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("albert.model.network.attend", attend_in_bfloat16)
            reference = outputs_and_gradients(model, inputs, positions, quick=False)
    assert mine["hidden"].dtype == torch.bfloat16
    for name, value in exact.items():
        scale = value.norm() + 1e-6
        error, allowed = (mine[name] - value).norm() / scale, (reference[name] - value).norm() / scale
        assert error < 2 * allowed + 0.01, f"{name}: {error:.4f}, reference {allowed:.4f}"


def test_dropout_is_left_to_the_reference() -> None:
    model = random_model(small_config(hidden_dropout_prob=0.1))
    assert not fast.applies(model.train())
    assert fast.applies(model.eval())


def test_without_gradients_nothing_is_kept() -> None:
    model, inputs = random_model(small_config()), random_ids((2, 8))
    with torch.no_grad():
        hidden = fast.encode_positions(model, **inputs, positions=torch.arange(2))
    assert not hidden.requires_grad


def test_the_compiled_form_of_gelu_is_gelu() -> None:
    """As functions, in float32 against float64; `compile_activations` itself takes seconds and stands below."""
    exact_x = torch.linspace(-12, 12, 4001, dtype=torch.float64, requires_grad=True)
    exact = torch.nn.functional.gelu(exact_x, approximate="tanh")
    (slope,) = torch.autograd.grad(exact.sum(), exact_x)
    x = exact_x.detach().float()
    assert torch.allclose(fast._gelu_new(x).double(), exact, atol=1e-6)
    assert torch.allclose(fast._gelu_new_backward(torch.ones_like(x), x).double(), slope, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")  # torch.compile's own
def test_compiled_activations_stay_within_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_COMPILED", {})
    if not fast.compile_activations():
        pytest.skip("needs a C++ compiler, and a folder of temporary files without a space")
    test_bf16_is_as_close_to_float32_as_the_reference_under_autocast()


@pytest.mark.parametrize("error", [RuntimeError, OSError])
def test_a_compiler_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def failing(*_: object) -> None:
        raise error("C++ compile error")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: failing)
    monkeypatch.setattr(fast, "_COMPILED", {})
    monkeypatch.setenv("CXX", "true")
    assert not fast.compile_activations()
    assert fast._COMPILED == {}


@pytest.fixture
def compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where torch would keep what it compiles, each time that it is asked to."""
    asked: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda *_, **__: lambda *_: asked.append(os.environ[KEPT]))
    monkeypatch.setattr(fast, "_COMPILED", {})
    monkeypatch.setenv("CXX", "true")
    monkeypatch.setenv(KEPT, "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return asked


KEPT = "TORCHINDUCTOR_CACHE_DIR"


def test_what_torch_compiles_is_kept_privately(compiling: list[str], tmp_path: Path) -> None:
    assert fast.compile_activations()
    folder = tmp_path / "cache" / "albert" / "inductor"
    assert set(compiling) == {str(folder)}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_others_may_write_to_is_not_used(
    compiling: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv(KEPT, str(tmp_path / "open"))
    assert not fast.compile_activations()
    monkeypatch.setenv(KEPT, str(tmp_path / "one's own" / "new"))
    assert fast.compile_activations()


def test_a_folder_with_a_space_is_passed_over(
    compiling: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of mine"))
    assert fast.compile_activations()
    assert set(compiling) == {str(tmp_path / f"albert-{os.geteuid()}" / "inductor")}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "of mine"))
    monkeypatch.setenv(KEPT, "")
    assert not fast.compile_activations()


@pytest.mark.parametrize("script", ["sleep 300", "sleep 300 & wait", "exit 1"])
def test_a_compiler_that_does_not_answer_is_not_waited_for(
    compiling: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    (tmp_path / "compiler").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "compiler").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "compiler"))
    monkeypatch.setattr(fast, "_PATIENCE", 0.2)
    start = time.monotonic()
    assert not fast.compile_activations()
    assert time.monotonic() - start < 10
    assert compiling == []


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("head", [name for name in HEADS if name not in ("masked_lm", "pretraining")])
def test_every_head_says_and_learns_what_the_reference_does(head: str, pooling: str) -> None:
    generator = torch.Generator().manual_seed(0)
    config = small_config(id2label=("a", "b", "c"), pooling=pooling, initializer_range=0.3)
    model = AlbertForTask(config, head, generator=generator).eval()
    inputs = random_ids((4, 9))
    real = inputs["attention_mask"].bool()
    found = []
    for quick in (True, False):
        model.zero_grad()
        logits = fast.task_logits(model, **inputs) if quick else model(**inputs)
        assert isinstance(logits, torch.Tensor)
        logits = logits[real] if logits.ndim == 3 else logits
        weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
        (logits * weights).mean().backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        found.append({"logits": logits.detach(), **gradients})
    assert found[0].keys() == found[1].keys()
    for name, value in found[1].items():
        assert (found[0][name] - value).abs().max() < TOLERANCE, name
