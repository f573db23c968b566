"""The loop over layers written for speed on a CPU: the same numbers as `network.Encoder`, forward and backward.

What sharing allows: weights are cast, joined and laid out once for all L uses, and their gradients are summed in
float32 over the uses. What the reader of the last layer allows: only the positions it asks for pass the last
feed-forward network. Equal to the reference by tests/model/test_fast.py; measurements in docs/log.md.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from albert.model.heads import AlbertForTask
from albert.model.network import ACTIVATIONS, AlbertModel, Layer
from albert.model.products import lay_out, product

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
    config, encoder = model.config, model.encoder
    x = encoder.mapping(model.embeddings(input_ids, token_type_ids)).flatten(0, 1)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    layers = list(dict.fromkeys(encoder.layers()))
    depths = [layers.index(layer) for layer in encoder.layers()]
    parameters = [parameter for layer in layers for parameter in _parameters(layer)]
    with torch.autocast("cpu", enabled=False):
        plan = _Plan(config.num_attention_heads, config.hidden_act, config.layer_norm_eps, depths)
        return _Stack.apply(x.to(dtype), attention_mask, positions, plan, *parameters)


def task_logits(
    model: AlbertForTask,
    input_ids: Int[Tensor, "batch seq"],
    token_type_ids: Int[Tensor, "batch seq"],
    attention_mask: Int[Tensor, "batch seq"],
) -> Tensor:
    """What `model` says to a batch, by way of `encode_positions`: the last layer is computed where its head reads."""
    batch, seq = input_ids.shape
    if model.reads_first:
        positions = torch.arange(0, batch * seq, seq)
    else:
        positions = attention_mask.flatten().nonzero().squeeze(1)
    found = encode_positions(model.albert, input_ids, token_type_ids, attention_mask, positions)
    if model.reads_first:
        hidden, mask = found[:, None], None
    else:
        hidden = found.new_zeros(batch * seq, found.shape[1]).index_copy(0, positions, found).view(batch, seq, -1)
        mask = attention_mask
    pooler = model.albert.pooler
    logits: Tensor = model.read(hidden, None if pooler is None else pooler(hidden, mask), mask)  # type: ignore[assignment]
    return logits


# --- one step of autograd for all layers -----------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """What a stack is beside its tensors; `depths` names the block of each depth."""

    heads: int
    activation: str
    eps: float
    depths: list[int]


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, attention_mask: Tensor, positions: Tensor, plan: _Plan, *parameters: Tensor
    ) -> Tensor:
        ctx.blocks = [
            _Block(parameters[start : start + _COUNT], x.dtype, plan) for start in range(0, len(parameters), _COUNT)
        ]
        ctx.reads = [None] * (len(plan.depths) - 1) + [positions]
        ctx.uses = []
        heads = _Heads(attention_mask.shape[0], attention_mask.shape[1], plan.heads)
        bias = heads.bias(attention_mask, x.dtype)
        keep = any(ctx.needs_input_grad)
        for index, read in zip(plan.depths, ctx.reads, strict=True):
            x, backward = ctx.blocks[index].forward(x, heads, bias, read)
            if keep:
                ctx.uses.append(backward)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dx: Tensor) -> tuple[Tensor | None, ...]:
        while ctx.uses:  # what a use has kept is freed after it
            dx = ctx.uses.pop()(dx)
        return dx, None, None, None, *(gradient for block in ctx.blocks for gradient in block.gradients())


def _parameters(layer: Layer) -> list[Tensor]:
    attention, ffn = layer.attention, layer.ffn
    parts = (attention.query, attention.key, attention.value, attention.output, attention.norm)
    return [p for part in (*parts, ffn.inner, ffn.outer, ffn.norm) for p in (part.weight, part.bias)]


_COUNT = 16  # tensors of a block, in the order of `_parameters`


class _Block:
    """One block's weights in the number format of the products, and its gradients."""

    def __init__(self, parameters: tuple[Tensor, ...], dtype: torch.dtype, plan: _Plan) -> None:
        weights, biases = parameters[::2], parameters[1::2]
        self.qkv = _Linear(torch.cat(weights[:3]), torch.cat(biases[:3]), dtype)
        self.output = _Linear(weights[3], biases[3], dtype)
        self.norm = _Norm(weights[4], biases[4], plan.eps)
        self.inner = _Linear(weights[5], biases[5], dtype)
        self.outer = _Linear(weights[6], biases[6], dtype)
        self.norm2 = _Norm(weights[7], biases[7], plan.eps)
        self.activate, self.activate_backward = _activation(plan.activation, dtype)

    def forward(
        self, x: Tensor, heads: _Heads, bias: Tensor | None, read: Tensor | None
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The block's output, at the positions `read` if given, and the function from its gradient to x's."""
        context, attend_backward = _attend(self.qkv.forward(x), heads, bias)
        residual = x
        if read is not None:
            context, residual = context[read], x[read]
        y, norm_backward = self.norm.forward(self.output.forward(context, residual))
        a = self.inner.forward(y)
        h = self.activate(a)
        z, norm2_backward = self.norm2.forward(self.outer.forward(h, y))

        def backward(dz: Tensor) -> Tensor:
            ds = norm2_backward(dz)
            da = self.activate_backward(self.outer.backward(ds, h), a)
            ds = norm_backward(self.inner.backward(da, y, ds))
            dcontext = self.output.backward(ds, context)
            if read is not None:
                dcontext, ds = (torch.zeros_like(x).index_add_(0, read, part) for part in (dcontext, ds))
            return self.qkv.backward(attend_backward(dcontext), x, ds)

        return z, backward

    def gradients(self) -> list[Tensor | None]:
        """In the order of `_parameters`."""
        if self.qkv.weight_gradient is None:
            return [None] * _COUNT
        weights, biases = self.qkv.weight_gradient.chunk(3), self.qkv.bias_gradient.chunk(3)
        parts = (self.output, self.norm, self.inner, self.outer, self.norm2)
        rest = [gradient for part in parts for gradient in (part.weight_gradient, part.bias_gradient)]
        return [*(gradient for pair in zip(weights, biases, strict=True) for gradient in pair), *rest]


# --- parts: each forward has its backward beside it, and sums its parameters' gradients in float32 ---------


class _Part:
    weight_gradient: Tensor | None = None
    bias_gradient: Tensor

    def accumulate(self, weight_gradient: Tensor, bias_gradient: Tensor) -> None:
        if self.weight_gradient is None:
            self.weight_gradient, self.bias_gradient = weight_gradient.float(), bias_gradient.float()
        else:
            self.weight_gradient += weight_gradient
            self.bias_gradient += bias_gradient


class _Linear(_Part):
    """x W^T + b, and what is to be added to it."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        weight = weight.to(dtype)
        self.bias = bias.to(dtype)
        self.weight = lay_out(weight)
        self.transposed = lay_out(weight.t())

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        return product(x, self.weight, self.bias, add=add)

    def backward(self, dy: Tensor, x: Tensor, add: Tensor | None = None) -> Tensor:
        self.accumulate(dy.t() @ x, dy.sum(0))
        return product(dy, self.transposed, None, add=add)


class _Norm(_Part):
    def __init__(self, weight: Tensor, bias: Tensor, eps: float) -> None:
        self.weight, self.bias, self.eps = weight, bias, eps

    def forward(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        y, mean, scale = torch.native_layer_norm(x, x.shape[1:], self.weight, self.bias, self.eps)

        def backward(dy: Tensor) -> Tensor:
            dx, *gradients = aten.native_layer_norm_backward(
                dy, x, x.shape[1:], mean, scale, self.weight, self.bias, [True] * 3
            )
            self.accumulate(*gradients)
            return dx

        return y, backward


@dataclass(frozen=True)
class _Heads:
    """How tokens lie in sequences and heads."""

    batch: int
    seq: int
    heads: int

    def split(self, x: Float[Tensor, "tokens width"], parts: int) -> Float[Tensor, "parts rows seq head"]:
        """Each head's own block, contiguous: products of strided views take 1.5 times as long."""
        x = x.view(self.batch, self.seq, parts, self.heads, -1).permute(2, 0, 3, 1, 4)
        return x.reshape(parts, self.batch * self.heads, self.seq, -1)

    def join(self, x: Float[Tensor, "parts rows seq head"]) -> Float[Tensor, "tokens width"]:
        x = x.view(len(x), self.batch, self.heads, self.seq, -1).permute(1, 3, 0, 2, 4)
        return x.reshape(self.batch * self.seq, -1)

    def bias(self, mask: Int[Tensor, "batch seq"], dtype: torch.dtype) -> Float[Tensor, "rows 1 seq"] | None:
        """What is added to the scores: nothing at all where there is no padding."""
        if bool(mask.all()):
            return None
        bias = torch.zeros(mask.shape, dtype=dtype).masked_fill_(mask == 0, torch.finfo(dtype).min)
        return bias.repeat_interleave(self.heads, 0)[:, None, :]


def _attend(
    qkv: Float[Tensor, "tokens width"], heads: _Heads, bias: Tensor | None
) -> tuple[Float[Tensor, "tokens hidden"], Callable[[Tensor], Tensor]]:
    """Attention by plain products, which keep the probabilities: with flash a step takes 1.1 to 1.25 times as long."""
    q, k, v = heads.split(qkv, 3)
    scale = 1 / math.sqrt(q.shape[-1])
    scores = _scaled(q, k.transpose(1, 2), scale, bias)
    probabilities = torch.softmax(scores, -1)

    def backward(dcontext: Tensor) -> Tensor:
        (dcontext,) = heads.split(dcontext, 1)
        dscores = aten._softmax_backward_data(dcontext @ v.transpose(1, 2), probabilities, -1, v.dtype)
        dq, dk = _scaled(dscores, k, scale), _scaled(dscores.transpose(1, 2), q, scale)
        return heads.join(torch.stack([dq, dk, probabilities.transpose(1, 2) @ dcontext]))

    return heads.join((probabilities @ v)[None]), backward


def _scaled(a: Tensor, b: Tensor, scale: float, add: Tensor | None = None) -> Tensor:
    if add is None:
        return torch.baddbmm(a.new_empty(()), a, b, beta=0, alpha=scale)
    return torch.baddbmm(add, a, b, alpha=scale)


# --- activations -----------------------------------------------------------------------------------------

_BACKWARD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gelu": aten.gelu_backward,
    "gelu_new": lambda dy, x: aten.gelu_backward(dy, x, approximate="tanh"),
    "relu": lambda dy, x: aten.threshold_backward(dy, x, 0),
}
_COMPILED: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {}


def _activation(name: str, dtype: torch.dtype) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]:
    if dtype == torch.bfloat16 and name in _COMPILED:
        return _COMPILED[name]
    return ACTIVATIONS[name], _BACKWARD[name]


def compile_activations() -> bool:
    """Compiles GELU's tanh form for bfloat16: saves 4 to 8 % of a step, for about 10 seconds, once a machine.

    False, and nothing changed, where there is no C++ compiler or it fails. A space in the name of the folder of
    temporary files is enough for that: torch does not quote them.
    """
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        return False
    forward, backward = torch.compile(_gelu_new, dynamic=True), torch.compile(_gelu_new_backward, dynamic=True)
    sample = torch.zeros(64, dtype=torch.bfloat16)
    try:
        with torch.no_grad():
            forward(sample)
            backward(sample, sample)
    except (OSError, RuntimeError):
        return False
    _COMPILED["gelu_new"] = (
        lambda x: forward(x.view(-1)).view(x.shape),
        lambda dy, x: backward(dy.view(-1), x.view(-1)).view(x.shape),
    )
    return True


_SLOPE, _CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715


def _gelu_new(x: Tensor) -> Tensor:
    """GELU's tanh form by the sigmoid of twice its argument: an exponential costs a quarter of torch's tanh."""
    f = x.float()
    return (f * torch.sigmoid(_SLOPE * f * (1 + _CUBIC * f * f))).to(x.dtype)


def _gelu_new_backward(dy: Tensor, x: Tensor) -> Tensor:
    f = x.float()
    s = torch.sigmoid(_SLOPE * f * (1 + _CUBIC * f * f))
    slope = s + f * s * (1 - s) * _SLOPE * (1 + 3 * _CUBIC * f * f)
    return (dy.float() * slope).to(x.dtype)
