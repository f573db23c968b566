"""The forward pass for inference on a CPU: real tokens alone, flat from the embeddings to the head.

Products see no padding in any layer, weights are cast and laid out once for all depths, and of the last layer only what
the head reads is computed. Attention goes text by text in C++ where that can be compiled, else it takes texts of like
length together. Equal to the reference by tests/engine/test_packed.py; measurements in docs/performance.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from albert.engine.compiled import attention
from albert.memory import keep_freed_memory
from albert.model import AlbertForTask
from albert.model.network import Layer
from albert.model.products import lay_out, product

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_SLACK = 8  # pieces by which texts differ that are padded to one length for attention, and for that alone


Attend = Callable[..., Tensor]  # of rows of queries, keys and values, and whether `first` pieces alone ask


@dataclass(frozen=True)
class Packed:
    """Texts end to end, the longest first."""

    ids: Int[Tensor, " tokens"]
    types: Int[Tensor, " tokens"]
    lengths: Int[np.ndarray, " texts"]


class PackedModel:
    """A model's weights as the forward pass wants them; later changes of the model do not reach it.

    `precision` is that of products and of what flows between layers; sums, norms and softmax are float32 in any.
    """

    def __init__(self, model: AlbertForTask, precision: Literal["fp32", "bf16"]) -> None:
        keep_freed_memory()
        self.model = model
        self.dtype = _DTYPES[precision]
        config, encoder = model.config, model.albert.encoder
        self.heads = config.num_attention_heads
        self.compiled = attention(self.dtype, config.hidden_size // self.heads)
        self.mapping = _Linear(self.dtype, encoder.mapping) if isinstance(encoder.mapping, nn.Linear) else None
        blocks = {layer: _Block(layer, config.hidden_act, self.dtype) for layer in encoder.layers()}
        self.depths = [blocks[layer] for layer in encoder.layers()]
        self.by_piece = not model.head.needs_pooler and model.head_name != "embedding"

    @torch.inference_mode()
    def logits(self, packed: Packed) -> list[np.ndarray]:
        """What the head says about each text, float32: [labels], or [pieces, labels]."""
        starts = np.concatenate([[0], np.cumsum(packed.lengths)])
        hidden = self._encode(packed, starts).float()
        if self.by_piece:
            values = self.model.head(hidden[None])[0].numpy()
            return [values[start:after] for start, after in itertools.pairwise(starts)]
        if not self.model.reads_first:
            lengths = torch.from_numpy(packed.lengths)
            hidden = torch.segment_reduce(hidden, "mean", lengths=lengths)
        summary, pooler = hidden[:, None], self.model.albert.pooler  # a sequence of one
        values = self.model.read(summary, None if pooler is None else pooler(summary, None))
        return list(values.numpy())  # type: ignore[union-attr]

    def _encode(self, packed: Packed, starts: np.ndarray) -> Float[Tensor, "read hidden"]:
        """The last hidden states, those of the first pieces alone if the head reads no others."""
        x = self._embed(packed, starts)
        attend = self._attention(packed.lengths, starts)
        for block in self.depths[:-1]:
            x = block(x, attend)
        return self.depths[-1](x, attend, read=torch.from_numpy(starts[:-1]) if self.model.reads_first else None)

    def _attention(self, lengths: np.ndarray, starts: np.ndarray) -> Attend:
        if self.compiled is not None:
            return partial(self.compiled, starts=torch.from_numpy(starts), heads=self.heads)
        return partial(_attend, groups=_groups(lengths, starts, self.dtype), heads=self.heads)

    def _embed(self, packed: Packed, starts: np.ndarray) -> Float[Tensor, "tokens hidden"]:
        tables = self.model.albert.embeddings
        positions = torch.from_numpy(np.arange(starts[-1]) - np.repeat(starts[:-1], packed.lengths))
        x = tables.norm(tables.word(packed.ids) + tables.token_type(packed.types) + tables.position(positions))
        x = x.to(self.dtype)
        return x if self.mapping is None else self.mapping(x)


class _Linear:
    """One linear layer, or several of the same input side by side."""

    def __init__(self, dtype: torch.dtype, *parts: nn.Linear) -> None:
        self.weight = lay_out(torch.cat([part.weight for part in parts]).detach().to(dtype))
        self.bias = torch.cat([part.bias for part in parts]).detach().to(dtype)

    def __call__(self, x: Tensor, *, add: Tensor | None = None, activation: str | None = None) -> Tensor:
        return product(x, self.weight, self.bias, add=add, activation=activation)


class _Block:
    """One block's weights, query, key and value joined."""

    def __init__(self, layer: Layer, activation: str, dtype: torch.dtype) -> None:
        attention, ffn = layer.attention, layer.ffn
        self.qkv = _Linear(dtype, attention.query, attention.key, attention.value)
        self.output, self.norm = _Linear(dtype, attention.output), attention.norm
        self.inner, self.outer, self.norm2 = _Linear(dtype, ffn.inner), _Linear(dtype, ffn.outer), ffn.norm
        self.activation = activation

    def __call__(
        self, x: Float[Tensor, "tokens hidden"], attend: Attend, *, read: Tensor | None = None
    ) -> Float[Tensor, "read hidden"]:
        """The block's output, at the pieces `read` if given: then the first of each text."""
        context = attend(self.qkv(x), first=read is not None)
        y = _norm(self.output(context, add=x if read is None else x[read]), self.norm)
        return _norm(self.outer(self.inner(y, activation=self.activation), add=y), self.norm2)


def _norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    return torch.native_layer_norm(x, x.shape[1:], norm.weight, norm.bias, norm.eps)[0]


# --- attention -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """Texts that attention takes together, [start, start + texts x length) of the tokens if they are equally long.

    Else `gather` says where the tokens of the padded texts stand, `real` which of them are no padding, and `bias` keeps
    the padding out.
    """

    start: int
    after: int
    texts: int
    length: int
    gather: Int[Tensor, " padded"] | None = None
    real: Int[Tensor, " tokens"] | None = None
    bias: Float[Tensor, "texts 1 1 length"] | None = None


def _groups(lengths: np.ndarray, starts: np.ndarray, dtype: torch.dtype) -> list[_Group]:
    """Neighbours whose lengths differ by little."""
    groups = []
    first = 0
    for last in range(1, len(lengths) + 1):
        if last < len(lengths) and lengths[first] - lengths[last] <= _SLACK:
            continue
        own, longest = lengths[first:last], int(lengths[first])
        start, after, texts = int(starts[first]), int(starts[last]), last - first
        if own[-1] == longest:
            groups.append(_Group(start, after, texts, longest))
        else:
            places = np.arange(longest)
            padding = places >= own[:, None]
            gather = np.where(padding, 0, places) + starts[first:last, None]
            bias = torch.zeros(texts, 1, 1, longest, dtype=dtype)
            bias.masked_fill_(torch.from_numpy(padding)[:, None, None], -torch.inf)
            real = torch.from_numpy(np.flatnonzero(~padding))
            groups.append(_Group(start, after, texts, longest, torch.from_numpy(gather.ravel()), real, bias))
        first = last
    return groups


def _attend(
    qkv: Float[Tensor, "tokens width"], *, groups: list[_Group], heads: int, first: bool
) -> Float[Tensor, "read hidden"]:
    """Each text's attention to itself; with `first` for its first piece alone."""
    parts = []
    for group in groups:
        own = qkv[group.start : group.after] if group.gather is None else qkv[group.gather]
        q, k, v = own.view(group.texts, group.length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        if first:
            q = q[:, :, :1]
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=group.bias).transpose(1, 2).flatten(2).flatten(0, 1)
        parts.append(context if first or group.real is None else context[group.real])
    return parts[0] if len(parts) == 1 else torch.cat(parts)
