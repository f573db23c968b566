"""The fused cross-entropy against torch's, in whole and in chunks."""

from __future__ import annotations

import pytest
import torch

from albert.training import cross_entropy
from albert.training.cross_entropy import tied_cross_entropy


def tensors(masked: int, *, vocab: int = 61) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(shape, generator=generator) for shape in ((masked, 16), (vocab, 16), (vocab,))]
    return [part.requires_grad_() for part in parts], torch.randint(vocab, (masked,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [1, 200, 1 << 18])
@pytest.mark.parametrize(("masked", "fillers"), [(0, 0), (1, 0), (23, 0), (0, 8), (23, 9)])
def test_loss_and_gradients_are_those_of_torch(
    masked: int, fillers: int, chunk: int, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "_CHUNK", chunk)
    (x, words, bias), gold = tensors(masked)
    mine = tied_cross_entropy(torch.cat([x, torch.ones(fillers, 16)]), words, bias, gold, smoothing=smoothing) / 7
    scores = x @ words.t() + bias
    theirs = torch.nn.functional.cross_entropy(scores, gold, reduction="sum", label_smoothing=smoothing) / 7
    assert torch.allclose(mine, theirs, rtol=1e-5)
    for one, other in zip(
        torch.autograd.grad(mine, (x, words, bias)), torch.autograd.grad(theirs, (x, words, bias)), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-5)


def test_bf16_stays_within_its_rounding() -> None:
    (x, words, bias), gold = tensors(64)
    exact = torch.nn.functional.cross_entropy(x @ words.t() + bias, gold, reduction="sum")
    with torch.autocast("cpu", torch.bfloat16):
        mine = tied_cross_entropy(x, words, bias, gold)
    assert mine.dtype == torch.float32
    assert abs(mine - exact) < 2**-8 * exact
    one, other = torch.autograd.grad(mine, words)[0], torch.autograd.grad(exact, words)[0]
    assert (one - other).norm() < 0.01 * other.norm()
