"""Products with weights on a CPU: laid out once for oneDNN, with the following operation fused into them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from albert.model.network import ACTIVATIONS

onednn = torch.ops.mkldnn

# oneDNN's own layout of weights, with the residual added in the same product, saves 2 to 4 % of a training step.
PACKS = torch.backends.mkldnn.is_available() and onednn._is_mkldnn_bf16_supported()
FUSED = {"gelu": ("gelu", "none"), "gelu_new": ("gelu", "tanh"), "relu": ("relu", "")}


def rows_for(tokens: int, sizes: int = 32) -> int:
    """The number of rows for a product of this many tokens: at most `sizes` numbers per doubling, all multiples of 8.

    oneDNN makes and keeps code for each number of rows, which takes some hundred kB every time.
    """
    step = max(8, (1 << tokens.bit_length() >> 1) // sizes)
    return -(-tokens // step) * step


def lay_out(weight: Tensor) -> Tensor:
    """A weight, [out, in], for `product`."""
    return onednn._reorder_linear_weight(weight.contiguous()) if PACKS else weight


def product(
    x: Float[Tensor, "tokens in"],
    weight: Tensor,
    bias: Tensor | None,
    *,
    add: Tensor | None = None,
    activation: str | None = None,
) -> Float[Tensor, "tokens out"]:
    """x W^T + b, then `add` is added or the activation applied. The weight must come from `lay_out`."""
    if PACKS and add is not None:
        return onednn._linear_pointwise.binary(x, add, weight, bias, "add")
    if PACKS:
        name, form = FUSED[activation] if activation else ("none", "")
        return onednn._linear_pointwise(x, weight, bias, name, [], form)
    y = torch.nn.functional.linear(x, weight, bias)
    if activation:
        y = ACTIVATIONS[activation](y)
    return y if add is None else y.add_(add)
