"""A block of the encoder for packed texts, and the products in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from albert.compute.products import lay_out, product
from albert.model.network import Layer

Attend = Callable[..., Tensor]  # of queries, keys and values; gives so many `rows`; do `first` pieces alone ask?


def filled(x: Float[Tensor, "tokens width"], rows: int) -> Float[Tensor, "rows width"]:
    """x with copies of its first row at the end, `rows` in all."""
    missing = rows - len(x)
    return torch.cat([x, x[:1].expand(missing, -1)]) if missing else x


class Product(Protocol):
    """A linear layer. `use` counts the earlier depths of its block in this pass."""

    def __call__(self, x: Tensor, use: int, *, add: Tensor | None = None, activation: str | None = None) -> Tensor: ...


class Linear:
    """One linear layer, or several of the same input side by side."""

    def __init__(self, dtype: torch.dtype, *parts: nn.Linear) -> None:
        weights = [part.weight.detach() for part in parts]
        self.source = weights[0] if len(weights) == 1 else torch.cat(weights)
        self.bias = torch.cat([part.bias for part in parts]).detach().to(dtype)

    @cached_property
    def weight(self) -> Tensor:
        """The weight in the layout of `product`."""
        return lay_out(self.source.to(self.bias.dtype))

    def __call__(self, x: Tensor, use: int = 0, *, add: Tensor | None = None, activation: str | None = None) -> Tensor:
        return product(x, self.weight, self.bias, add=add, activation=activation)


class Norm:
    """A LayerNorm, computed in float32 for any input."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        self.inputs = norm.normalized_shape, norm.weight.detach(), norm.bias.detach(), norm.eps

    def __call__(self, x: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens hidden"]:
        return torch.native_layer_norm(x, *self.inputs)[0]


class Block:
    """The weights of one block, with query, key and value joined."""

    def __init__(self, layer: Layer, activation: str, dtype: torch.dtype) -> None:
        attention, ffn = layer.attention, layer.ffn
        self.qkv: Product = Linear(dtype, attention.query, attention.key, attention.value)
        self.output: Product = Linear(dtype, attention.output)
        self.inner: Product = Linear(dtype, ffn.inner)
        self.outer: Product = Linear(dtype, ffn.outer)
        self.norm, self.norm2 = Norm(attention.norm), Norm(ffn.norm)
        self.activation = activation
        self.hidden = len(ffn.outer.bias)

    @property
    def products(self) -> tuple[Product, ...]:
        return self.qkv, self.output, self.inner, self.outer

    def __call__(
        self, x: Float[Tensor, "tokens hidden"], use: int, attend: Attend, *, read: Tensor | None = None
    ) -> Float[Tensor, "read hidden"]:
        """The block's output. With `read`, only at these pieces, the first of each text."""
        context = attend(self.qkv(x, use), rows=len(x if read is None else read), first=read is not None)
        y = self.norm(self.output(context, use, add=x if read is None else x[read]))
        return self.norm2(self.outer(self.inner(y, use, activation=self.activation), use, add=y))
