"""Cross-entropy over the tied vocabulary. It turns logits into their gradient while they are in the cache."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from albert.compute.products import rows_for
from albert.compute.train_step import SIZES
from albert.model.heads import MaskedLMHead

_CHUNK = 1 << 18  # the number of float32 scores that fit into a core's L2 cache


def head_cross_entropy(
    head: MaskedLMHead,
    hidden: Float[Tensor, "pieces hidden"],
    words: Float[Tensor, "vocab embedding"],
    gold: Int[Tensor, " pieces"],
    *,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """The summed cross-entropy of a head that names pieces, on the CPU, with products of few sizes."""
    hidden = F.pad(hidden, (0, 0, 0, rows_for(len(hidden), SIZES) - len(hidden)))
    return tied_cross_entropy(head.transform(hidden), words, head.bias, gold, smoothing=smoothing)


def tied_cross_entropy(
    x: Float[Tensor, "rows embedding"],
    words: Float[Tensor, "vocab embedding"],
    bias: Float[Tensor, " vocab"],
    gold: Int[Tensor, " pieces"],
    *,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """The summed cross-entropy of `words @ x + bias`. Scores are in autocast's precision, the rest in float32.

    Rows of x beyond those of `gold` are padding to a size that the products support. `smoothing` is the share that all
    words have alike in what is wanted (torch's label_smoothing).
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    with torch.autocast("cpu", enabled=False):
        return _TiedCrossEntropy.apply(x.to(dtype), words, bias, gold, smoothing)


class _TiedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, words: Tensor, bias: Tensor, gold: Tensor, smoothing: float) -> Tensor:
        words = words.to(x.dtype)
        logits = F.linear(x, words, bias.to(x.dtype))
        logits[len(gold) :] = 0
        rows = max(1, _CHUNK // len(words))
        loss = torch.zeros(())
        for part, part_gold in zip(logits[: len(gold)].split(rows), gold.split(rows), strict=True):
            loss += _into_gradient(part, part_gold[:, None], smoothing)
        ctx.save_for_backward(x, words, logits)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        x, words, dlogits = ctx.saved_tensors
        dwords = (dlogits.t() @ x).float().mul_(dloss)
        return (dlogits @ words).mul_(dloss), dwords, dlogits.sum(0, dtype=torch.float32).mul_(dloss), None, None


def _into_gradient(logits: Tensor, gold: Tensor, smoothing: float) -> Tensor:
    """Overwrites `logits` by softmax minus what is wanted, and returns the summed cross-entropy."""
    scores = logits.float()
    scores.sub_(scores.amax(1, keepdim=True))
    wanted = scores.gather(1, gold)
    if smoothing:
        wanted = torch.lerp(wanted, scores.mean(1, keepdim=True), smoothing)
    total = scores.exp_().sum(1, keepdim=True)
    scores.div_(total).scatter_add_(1, gold, torch.full_like(total, smoothing - 1))
    if smoothing:
        scores.sub_(smoothing / scores.shape[1])
    logits.copy_(scores)
    return (total.log() - wanted).sum()
