"""The encoder over rows of one length, for training on a GPU. Weights are cast and joined once, not at every use.

It computes the same as `network.AlbertModel` without dropout (tests/compute/test_dense.py). The part after attention is
compiled as one piece, which is a third faster on an H100.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from albert.compute import windowed
from albert.compute.covers import covers
from albert.model.network import AlbertModel, Layer


def encoder_over_rows(model: AlbertModel, dtype: torch.dtype, *, compiled: bool) -> DenseEncoder | _Reference:
    """The fast form where it covers the network, else the reference."""
    if covers(model.config, None):
        return DenseEncoder(model, dtype, compiled=compiled)
    return _Reference(model, dtype)


class _Reference:
    """The reference network under autocast, or attention in windows block by block."""

    def __init__(self, model: AlbertModel, dtype: torch.dtype) -> None:
        self.model = model
        self.dtype = dtype

    def depths(
        self,
        ids: Int[Tensor, "rows length"],
        types: Int[Tensor, "rows length"],
        mask: Bool[Tensor, "rows 1 1 length"] | None = None,
    ) -> Iterator[Float[Tensor, "rows length hidden"]]:
        real = torch.ones_like(ids).bool() if mask is None else mask[:, 0, 0]
        if windowed.applies(self.model, ids.shape[1]):
            steps = windowed.depths(self.model, ids, types, real)
        else:
            steps = self.model.depths(ids, attention_mask=real.long(), token_type_ids=types)
        while True:  # autocast ends before each yield: what the caller does in between keeps its own precision
            with torch.autocast(ids.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
                x = next(steps, None)
            if x is None:
                return
            yield x


class DenseEncoder:
    """The forward pass of an encoder with its present weights. It must be made again after every change of them."""

    def __init__(self, model: AlbertModel, dtype: torch.dtype, *, compiled: bool) -> None:
        self.model = model
        self.dtype = dtype
        tail, embed = _compiled() if compiled else (_tail, _embed)
        self._tail: Callable[..., Tensor] = tail
        self._embed: Callable[..., Tensor] = embed
        self._layers = {layer: self._cast(layer) for layer in dict.fromkeys(model.encoder.layers())}

    def depths(
        self,
        ids: Int[Tensor, "rows length"],
        types: Int[Tensor, "rows length"],
        mask: Bool[Tensor, "rows 1 1 length"] | None = None,
    ) -> Iterator[Float[Tensor, "rows length hidden"]]:
        """The hidden states behind each depth; `mask` is true at real positions."""
        config, tables = self.model.config, self.model.embeddings
        rows, length = ids.shape
        hidden, heads = config.hidden_size, config.num_attention_heads
        mapping = self.model.encoder.mapping if config.embedding_projection else None
        x = self._embed(
            ids, types, tables.word.weight, tables.position.weight, tables.token_type.weight, tables.norm.weight,
            tables.norm.bias, None if mapping is None else mapping.weight, None if mapping is None else mapping.bias,
            config.layer_norm_eps, self.dtype,
        ).reshape(rows * length, hidden)  # fmt: skip
        bias = None
        if mask is not None:
            bias = torch.zeros(mask.shape, dtype=self.dtype, device=mask.device).masked_fill_(~mask, float("-inf"))
            bias = bias.expand(rows, heads, length, length)
        for layer in self.model.encoder.layers():
            weight, shift, rest = self._layers[layer]
            qkv = F.linear(x, weight, shift).view(rows, length, 3, heads, hidden // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            context = context.transpose(1, 2).reshape(rows * length, hidden)
            x = self._tail(x, context, *rest, config.layer_norm_eps, config.hidden_act)
            yield x.view(rows, length, hidden)

    def _cast(self, layer: Layer) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        attention, ffn = layer.attention, layer.ffn
        parts = (attention.query, attention.key, attention.value)
        weight = torch.cat([part.weight for part in parts]).to(self.dtype)
        bias = torch.cat([part.bias for part in parts]).to(self.dtype)
        output, inner, outer = (
            (part.weight.to(self.dtype), part.bias.to(self.dtype)) for part in (attention.output, ffn.inner, ffn.outer)
        )
        norm, norm2 = ((part.weight, part.bias) for part in (attention.norm, ffn.norm))
        return weight, bias, (*output, *norm, *inner, *outer, *norm2)


@cache
def _compiled() -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)  # a shape each
    return torch.compile(_tail, dynamic=False), torch.compile(_embed, dynamic=True)


def layer_norm(x: Float[Tensor, "*rows size"], weight: Tensor, bias: Tensor, eps: float) -> Float[Tensor, "*rows size"]:
    """LayerNorm in float32, its result as x is."""
    return F.layer_norm(x.float(), (x.shape[-1],), weight, bias, eps).to(x.dtype)


def activated(x: Float[Tensor, "*shape"], name: str) -> Float[Tensor, "*shape"]:
    """The activation of `config.hidden_act`."""
    if name == "relu":
        return F.relu(x)
    return F.gelu(x, approximate="tanh" if name == "gelu_new" else "none")


def _tail(
    x: Tensor, context: Tensor,
    wo: Tensor, bo: Tensor, n1w: Tensor, n1b: Tensor,
    w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, n2w: Tensor, n2b: Tensor,
    eps: float, activation: str,
) -> Tensor:  # fmt: skip
    x = layer_norm(x + F.linear(context, wo, bo), n1w, n1b, eps)
    y = activated(F.linear(x, w1, b1), activation)
    return layer_norm(x + F.linear(y, w2, b2), n2w, n2b, eps)


def _embed(
    ids: Tensor, types: Tensor, word: Tensor, position: Tensor, token_type: Tensor, norm_weight: Tensor,
    norm_bias: Tensor, mapping: Tensor | None, mapping_bias: Tensor | None, eps: float, dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    x = word[ids] + token_type[types] + position[: ids.shape[1]]
    x = F.layer_norm(x, (x.shape[-1],), norm_weight, norm_bias, eps).to(dtype)
    if mapping is None:
        return x
    assert mapping_bias is not None
    return F.linear(x, mapping.to(dtype), mapping_bias.to(dtype))
