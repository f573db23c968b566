"""Inputs of int8: each row has a range of its own, by the kernel and by PyTorch alike."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albert.compute import compiled


@pytest.fixture(params=["kernel", "PyTorch's"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "kernel" and compiled.function_of("quantize", torch.float32) is None:
        pytest.skip("kernels are not compiled on this machine")
    if request.param != "kernel":
        monkeypatch.setattr(compiled, "function_of", lambda *_: None)
    return str(request.param)


def read_back(x: torch.Tensor, factors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the bytes stand for, and the scale of each row."""
    found, ranges = compiled.quantize(x, factors)
    return (found.float() + ranges[:, 1:]) * ranges[:, :1], ranges[:, :1]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    widths=st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=9), shift=st.floats(-2, 2), vectors=st.integers(1, 5),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_the_error_is_a_step_of_the_row_s_own_range(
    by: str, widths: list[float], shift: float, vectors: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    x = (torch.randn(len(widths), 16 * vectors, generator=random) + shift) * torch.tensor(widths)[:, None]
    factors = torch.rand(16 * vectors, generator=random) + 0.5
    found, scale = read_back(x, factors)
    wanted = x * factors
    width = wanted.amax(1, keepdim=True).clamp(min=0) - wanted.amin(1, keepdim=True).clamp(max=0)
    torch.testing.assert_close(scale, width / 255)
    assert ((found - wanted).abs() <= 1.01 * scale).all()


@pytest.mark.parametrize("odd", [0.0, float("nan"), float("inf")])
def test_rows_without_a_range_leave_the_others_alone(by: str, odd: float) -> None:
    x = torch.linspace(-1, 1, 32).expand(3, 32).clone()
    x[1] = odd
    found, _ = read_back(x, torch.ones(32))
    assert (found[[0, 2]] - x[[0, 2]]).abs().max() < 0.01
