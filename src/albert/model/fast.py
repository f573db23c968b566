"""The loop over layers written for speed on a CPU: the same numbers as `network.Encoder`, forward and backward.

What sharing allows: weights are cast and joined once for all L uses, and their gradients are summed in float32
over the uses. What the reader of the last layer allows: only the positions it asks for pass the last block.
Equal to the reference by tests/model/test_fast.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from albert.model.network import AlbertModel, Layer

aten = torch.ops.aten


def applies(model: AlbertModel) -> bool:
    """Whether `encode_positions` computes what the model does now: on a CPU and without dropout."""
    dropout = max(model.config.hidden_dropout_prob, model.config.attention_probs_dropout_prob)
    return model.embeddings.word.weight.device.type == "cpu" and not (model.training and dropout)


def encode_positions(
    model: AlbertModel,
    input_ids: Int[Tensor, "batch seq"],
    token_type_ids: Int[Tensor, "batch seq"],
    attention_mask: Int[Tensor, "batch seq"],
    positions: Int[Tensor, " positions"],
) -> Float[Tensor, "positions hidden"]:
    """The last hidden states at `positions` of the flattened [batch * seq], in the precision of autocast."""
    encoder = model.encoder
    layers = [layer for group in encoder.groups for layer in group]  # type: ignore[attr-defined]
    per_group = model.config.inner_group_num
    schedule = [
        iteration * len(encoder.groups) // encoder.num_layers * per_group + inner
        for iteration in range(encoder.num_layers)
        for inner in range(per_group)
    ]
    x = encoder.mapping(model.embeddings(input_ids, token_type_ids))
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    with torch.autocast("cpu", enabled=False):
        rows, seq = input_ids.shape
        shape = _Shape(rows, seq, model.config.num_attention_heads)
        activation = model.config.hidden_act
        parameters = [parameter for layer in layers for parameter in _parameters(layer)]
        return _Stack.apply(
            x.to(dtype).flatten(0, 1), positions, _bias(attention_mask, shape, dtype), shape, schedule, activation,
            model.config.layer_norm_eps, *parameters,
        )  # fmt: skip


@dataclass(frozen=True)
class _Shape:
    """How tokens lie in sequences and heads."""

    batch: int
    seq: int
    heads: int

    def split(self, x: Float[Tensor, "tokens width"], parts: int) -> Float[Tensor, "parts rows seq head"]:
        """Each head's own block, contiguous: matrix products of strided views take 1.5 times as long."""
        x = x.view(self.batch, self.seq, parts, self.heads, -1).permute(2, 0, 3, 1, 4)
        return x.reshape(parts, self.batch * self.heads, self.seq, -1)

    def join(self, x: Float[Tensor, "parts rows seq head"]) -> Float[Tensor, "tokens width"]:
        x = x.view(len(x), self.batch, self.heads, self.seq, -1).permute(1, 3, 0, 2, 4)
        return x.reshape(self.batch * self.seq, -1)


def _bias(mask: Int[Tensor, "batch seq"], shape: _Shape, dtype: torch.dtype) -> Tensor | None:
    """What is added to the scores [batch * heads, 1, seq]: nothing at all where there is no padding."""
    if bool(mask.all()):
        return None
    bias = torch.zeros(mask.shape, dtype=dtype).masked_fill_(mask == 0, torch.finfo(dtype).min)
    return bias.repeat_interleave(shape.heads, 0)[:, None, :]


def _parameters(layer: Layer) -> list[Tensor]:
    attention, ffn = layer.attention, layer.ffn
    linears = (attention.query, attention.key, attention.value, attention.output, ffn.inner, ffn.outer)
    parts: tuple[nn.Module, ...] = (*linears, attention.norm, ffn.norm)
    return [parameter for part in parts for parameter in (part.weight, part.bias)]  # type: ignore[misc]


_COUNT = 16  # tensors of a block, in the order of `_parameters`


class _Block:
    """One block's weights in the number format of the products, and its gradients, summed in float32."""

    def __init__(self, parameters: tuple[Tensor, ...], dtype: torch.dtype, eps: float, activation: str) -> None:
        query, query_b, key, key_b, value, value_b, output, output_b, inner, inner_b, outer, outer_b, *norms = (
            parameters
        )
        self.eps = eps
        self.activation = activation
        self.qkv, self.qkv_b = torch.cat([query, key, value]).to(dtype), torch.cat([query_b, key_b, value_b]).to(dtype)
        self.output, self.output_b = output.to(dtype), output_b.to(dtype)
        self.inner, self.inner_b = inner.to(dtype), inner_b.to(dtype)
        self.outer, self.outer_b = outer.to(dtype), outer_b.to(dtype)
        self.norm, self.norm_b, self.norm2, self.norm2_b = norms
        self.gradients: list[Tensor] = []

    def forward(self, x: Tensor, bias: Tensor | None, shape: _Shape, positions: Tensor | None) -> tuple[Tensor, Any]:
        q, k, v = shape.split(torch.addmm(self.qkv_b, x, self.qkv.t()), 3)
        scale = 1 / math.sqrt(q.shape[-1])
        scores = (
            torch.baddbmm(q.new_empty(()), q, k.transpose(1, 2), beta=0, alpha=scale)
            if bias is None
            else torch.baddbmm(bias, q, k.transpose(1, 2), alpha=scale)
        )
        probabilities = torch.softmax(scores, -1)
        context = shape.join((probabilities @ v)[None])
        residual = x
        if positions is not None:
            context, residual = context[positions], x[positions]
        s = torch.addmm(self.output_b, context, self.output.t()).add_(residual)
        y, mean, rstd = torch.native_layer_norm(s, s.shape[1:], self.norm, self.norm_b, self.eps)
        a = torch.addmm(self.inner_b, y, self.inner.t())
        h = _ACT[self.activation][0](a)
        s2 = torch.addmm(self.outer_b, h, self.outer.t()).add_(y)
        z, mean2, rstd2 = torch.native_layer_norm(s2, s2.shape[1:], self.norm2, self.norm2_b, self.eps)
        return z, (x, q, k, v, probabilities, context, s, mean, rstd, y, a, h, s2, mean2, rstd2)

    def backward(self, dz: Tensor, saved: Any, shape: _Shape, positions: Tensor | None) -> Tensor:
        x, q, k, v, probabilities, context, s, mean, rstd, y, a, h, s2, mean2, rstd2 = saved
        ds2, dnorm2, dnorm2_b = aten.native_layer_norm_backward(
            dz, s2, s2.shape[1:], mean2, rstd2, self.norm2, self.norm2_b, [True] * 3
        )
        da = _ACT[self.activation][1](ds2 @ self.outer, a)
        dy = torch.addmm(ds2, da, self.inner)
        ds, dnorm, dnorm_b = aten.native_layer_norm_backward(
            dy, s, s.shape[1:], mean, rstd, self.norm, self.norm_b, [True] * 3
        )
        dcontext, dx = ds @ self.output, ds
        if positions is not None:
            dcontext = torch.zeros_like(x).index_add_(0, positions, dcontext)
            dx = torch.zeros_like(x).index_add_(0, positions, ds)
        (dcontext_h,) = shape.split(dcontext, 1)
        scale = 1 / math.sqrt(q.shape[-1])
        dscores = aten._softmax_backward_data(dcontext_h @ v.transpose(1, 2), probabilities, -1, q.dtype)
        dqkv = torch.empty((3, *q.shape), dtype=q.dtype)
        none = q.new_empty(())
        torch.baddbmm(none, dscores, k, beta=0, alpha=scale, out=dqkv[0])
        torch.baddbmm(none, dscores.transpose(1, 2), q, beta=0, alpha=scale, out=dqkv[1])
        torch.bmm(probabilities.transpose(1, 2), dcontext_h, out=dqkv[2])
        dqkv = shape.join(dqkv)
        self._accumulate(
            dqkv.t() @ x, dqkv.sum(0), ds.t() @ context, ds.sum(0), da.t() @ y, da.sum(0), ds2.t() @ h, ds2.sum(0),
            dnorm, dnorm_b, dnorm2, dnorm2_b,
        )  # fmt: skip
        return torch.addmm(dx, dqkv, self.qkv)

    def _accumulate(self, *gradients: Tensor) -> None:
        if not self.gradients:
            self.gradients = [gradient.float() for gradient in gradients]
        else:
            for total, gradient in zip(self.gradients, gradients, strict=True):
                total.add_(gradient)

    def parameter_gradients(self) -> list[Tensor | None]:
        if not self.gradients:
            return [None] * _COUNT
        qkv, qkv_b, *others = self.gradients
        return [*(g for pair in zip(qkv.chunk(3), qkv_b.chunk(3), strict=True) for g in pair), *others]


_ACT: dict[str, Any] = {
    "gelu": (torch.nn.functional.gelu, aten.gelu_backward),
    "gelu_new": (
        lambda a: torch.nn.functional.gelu(a, approximate="tanh"),
        lambda dh, a: aten.gelu_backward(dh, a, approximate="tanh"),
    ),
    "relu": (torch.relu, lambda dh, a: aten.threshold_backward(dh, a, 0)),
}


class _Stack(torch.autograd.Function):
    """All layers as one step of autograd."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, positions: Tensor, bias: Tensor | None, shape: _Shape, schedule: list[int],
        activation: str, eps: float, *parameters: Tensor,
    ) -> Tensor:  # fmt: skip
        blocks = [
            _Block(parameters[start : start + _COUNT], x.dtype, eps, activation)
            for start in range(0, len(parameters), _COUNT)
        ]
        ctx.blocks, ctx.shape, ctx.schedule, ctx.positions = blocks, shape, schedule, positions
        ctx.stack = []
        keep = any(ctx.needs_input_grad)
        for depth, index in enumerate(schedule):
            last = depth == len(schedule) - 1
            x, saved = blocks[index].forward(x, bias, shape, positions if last else None)
            if keep:
                ctx.stack.append(saved)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dx: Tensor) -> tuple[Tensor | None, ...]:
        for depth, index in reversed(list(enumerate(ctx.schedule))):
            last = depth == len(ctx.schedule) - 1
            dx = ctx.blocks[index].backward(dx, ctx.stack.pop(), ctx.shape, ctx.positions if last else None)
        gradients = [g for block in ctx.blocks for g in block.parameter_gradients()]
        return (dx, *[None] * 6, *gradients)
