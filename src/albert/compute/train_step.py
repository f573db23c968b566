"""The loop over layers written for speed on a CPU: the same numbers as `network.Encoder`, forward and backward.

What sharing allows: weights are cast, joined and laid out once for all L uses, and their gradients are summed in
float32 over the uses. What the reader of the last layer allows: only the positions it asks for pass the last
feed-forward network. Products take real tokens alone, filled up to few numbers of rows, because oneDNN makes and keeps
a kernel for every number of rows that it meets. Equal to the reference by
tests/compute/test_train_step.py; measurements in docs/log.md.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from albert.compute.covers import covers
from albert.compute.products import lay_out, product, rows_for
from albert.machine.process import run_limited
from albert.model.heads import AlbertForTask
from albert.model.network import ACTIVATIONS, AlbertModel, Layer
from albert.storage.private import is_private, writable_folder

aten = torch.ops.aten

SIZES = 8  # numbers of rows an octave: more of them mean more kernels, fewer mean more rows that are filled up


def applies(model: AlbertModel) -> bool:
    """Whether `encode_positions` computes what the model does now: one that is covered, on a CPU, without dropout."""
    dropout = max(model.config.hidden_dropout_prob, model.config.attention_probs_dropout_prob)
    if not covers(model.config, None):
        return False
    return model.embeddings.word.weight.device.type == "cpu" and not (model.training and dropout)


def encode_positions(
    model: AlbertModel,
    input_ids: Int[Tensor, "batch seq"],
    token_type_ids: Int[Tensor, "batch seq"],
    attention_mask: Int[Tensor, "batch seq"],
    positions: Int[Tensor, " positions"],
) -> Float[Tensor, "positions hidden"]:
    """The last hidden states at `positions` of the flattened [batch * seq], in the precision of autocast.

    Only positions that `attention_mask` calls real have hidden states.
    """
    config, encoder = model.config, model.encoder
    places = _Places(attention_mask, config.num_attention_heads)
    embedded = model.embeddings(input_ids, token_type_ids).flatten(0, 1).index_select(0, places.real)
    x = encoder.mapping(nn.functional.pad(embedded, (0, 0, 0, places.rows - places.tokens)))
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    layers = list(dict.fromkeys(encoder.layers()))
    depths = [layers.index(layer) for layer in encoder.layers()]
    parameters = [parameter for layer in layers for parameter in _parameters(layer)]
    with torch.autocast("cpu", enabled=False):
        plan = _Plan(places, places.rows_of(positions), config.hidden_act, config.layer_norm_eps, depths)
        return _Stack.apply(x.to(dtype), plan, *parameters)[: len(positions)]


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
    """What a stack is beside its tensors; `read` are the rows of the last layer, `depths` names each depth's block."""

    places: _Places
    read: Int[Tensor, " read"] | None
    activation: str
    eps: float
    depths: list[int]


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: _Plan, *parameters: Tensor) -> Tensor:
        ctx.blocks = [
            _Block(parameters[start : start + _COUNT], x.dtype, plan) for start in range(0, len(parameters), _COUNT)
        ]
        ctx.reads = [None] * (len(plan.depths) - 1) + [plan.read]
        ctx.uses = []
        bias = plan.places.bias(x.dtype)
        keep = any(ctx.needs_input_grad)
        for index, read in zip(plan.depths, ctx.reads, strict=True):
            x, backward = ctx.blocks[index].forward(x, plan.places, bias, read)
            if keep:
                ctx.uses.append(backward)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dx: Tensor) -> tuple[Tensor | None, ...]:
        while ctx.uses:  # what a use has kept is freed after it
            dx = ctx.uses.pop()(dx)
        return dx, None, *(gradient for block in ctx.blocks for gradient in block.gradients())


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
        self, x: Tensor, places: _Places, bias: Tensor | None, read: Tensor | None
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The block's output, at the positions `read` if given, and the function from its gradient to x's."""
        context, attend_backward = _attend(self.qkv.forward(x), places, bias)
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


class _Places:
    """Where packed rows lie in attention, which takes sequences padded to one of few lengths.

    Rows are the real tokens, then rows that fill up. Fillers stand for padding too: they hold numbers that nobody
    reads, and their gradients are zero.
    """

    def __init__(self, mask: Int[Tensor, "batch seq"], heads: int) -> None:
        self.batch, seq = mask.shape
        self.seq, self.heads = rows_for(seq, SIZES), heads
        self.mask = nn.functional.pad(mask != 0, (0, self.seq - seq))
        self.real = (mask != 0).flatten().nonzero().squeeze(1)
        self.tokens = len(self.real)
        padded = self.tokens < self.mask.numel()
        self.rows = rows_for(self.tokens + padded, SIZES)  # one more where there is padding to stand for
        own = self.mask.flatten().nonzero().squeeze(1)  # each token's place in [batch, padded seq]
        row = torch.full((self.mask.numel(),), self.tokens).index_copy_(0, own, torch.arange(self.tokens))
        own = nn.functional.pad(own, (0, self.rows - self.tokens))  # fillers: any place
        head = torch.arange(heads)
        self._join = (((own // self.seq * heads)[:, None] + head) * self.seq + (own % self.seq)[:, None]).flatten()
        row = row.view(self.batch, 1, self.seq)
        self._split = {
            parts: ((row * parts + torch.arange(parts).view(-1, 1, 1, 1)) * heads + head[:, None]).flatten()
            for parts in (1, 3)
        }

    def rows_of(self, positions: Int[Tensor, " positions"]) -> Int[Tensor, " read"] | None:
        """The rows of these positions of the unpadded [batch * seq], filled up; None if they are all real ones."""
        if torch.equal(positions, self.real):
            return None
        rows = torch.searchsorted(self.real, positions.contiguous())
        return nn.functional.pad(rows, (0, rows_for(len(rows), SIZES) - len(rows)))

    def split(self, x: Float[Tensor, "rows width"], parts: int) -> Float[Tensor, "parts sequences seq head"]:
        """Each head's own block, contiguous: products of strided views take 1.5 times as long."""
        x = x.reshape(len(x) * parts * self.heads, -1).index_select(0, self._split[parts])
        return x.view(parts, self.batch * self.heads, self.seq, -1)

    def join(self, *parts: Float[Tensor, "sequences seq head"]) -> Float[Tensor, "rows width"]:
        """The way back, parts side by side; rows that fill up are zero."""
        joined = torch.cat([x.flatten(0, 1).index_select(0, self._join).view(self.rows, -1) for x in parts], 1)
        joined[self.tokens :] = 0
        return joined

    def bias(self, dtype: torch.dtype) -> Float[Tensor, "sequences 1 seq"] | None:
        """What is added to the scores: nothing at all where there is no padding."""
        if bool(self.mask.all()):
            return None
        bias = torch.zeros(self.mask.shape, dtype=dtype).masked_fill_(~self.mask, torch.finfo(dtype).min)
        return bias.repeat_interleave(self.heads, 0)[:, None, :]


def _attend(
    qkv: Float[Tensor, "rows width"], places: _Places, bias: Tensor | None
) -> tuple[Float[Tensor, "rows hidden"], Callable[[Tensor], Tensor]]:
    """Attention by plain products, which keep the probabilities: with flash a step takes 1.1 to 1.25 times as long."""
    q, k, v = places.split(qkv, 3)
    scale = 1 / math.sqrt(q.shape[-1])
    scores = _scaled(q, k.transpose(1, 2), scale, bias)
    probabilities = torch.softmax(scores, -1)

    def backward(dcontext: Tensor) -> Tensor:
        (dcontext,) = places.split(dcontext, 1)
        dscores = aten._softmax_backward_data(dcontext @ v.transpose(1, 2), probabilities, -1, v.dtype)
        dq, dk = _scaled(dscores, k, scale), _scaled(dscores.transpose(1, 2), q, scale)
        return places.join(dq, dk, probabilities.transpose(1, 2) @ dcontext)

    return places.join(probabilities @ v), backward


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

    False, and nothing changed, if no C++ compiler answers within seconds, or if it fails. It also needs a folder that
    only this user can write to, without a space in its name, because torch does not quote it.
    """
    if not (_compiler_answers() and _keep_privately()):
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


def _compiler_answers() -> bool:
    """Whether the compiler answers in time; torch would wait for it without end."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    try:
        return compiler is not None and run_limited([compiler, "--version"], _PATIENCE)[0] == 0
    except OSError:
        return False


def _keep_privately() -> bool:
    """Has torch keep, and load, what it compiles where others cannot write: by itself it takes a place in /tmp."""
    try:
        named = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        folder = Path(named) if named else writable_folder(spaces=False) / "inductor"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    return is_private(folder)


_PATIENCE = 10.0  # seconds
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
