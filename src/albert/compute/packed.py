"""The forward pass for inference on a CPU: only real tokens, flat from the embeddings to the head.

Products see no padding in any layer. Weights are cast and laid out once for all depths. In the last layer only the part
that the head reads is computed. If C++ can be compiled, the encoder is one call (compute/fused.py). Otherwise it runs
step by step, and attention takes texts of similar length together. tests/compute/test_packed.py holds that it equals
the reference; docs/performance.md has measurements.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from albert.compute.blocks import Attend, Block, Linear, filled
from albert.compute.compiled import Attention, Reach, attention
from albert.compute.covers import unknown
from albert.compute.fused import FusedEncoder, Network, fused
from albert.compute.products import rows_for
from albert.compute.quantized import PRODUCTS, Calibration, Watched, quantize_block, watch
from albert.compute.windowed import Blocks
from albert.errors import AlbertError, ErrorKind
from albert.machine.memory import keep_freed_memory
from albert.model import AlbertForTask
from albert.model.heads import Head

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_SLACK = 8  # pieces by which texts differ that are padded to one length for attention, and for that alone


@dataclass(frozen=True)
class Packed:
    """Texts end to end. Attention is faster if the longest come first."""

    ids: Int[Tensor, " tokens"]
    types: Int[Tensor, " tokens"]
    lengths: Int[np.ndarray, " texts"]


def bounds(lengths: Int[np.ndarray, " texts"]) -> Int[np.ndarray, " bounds"]:
    """Where texts of these lengths begin and end when they lie end to end."""
    return np.append(0, np.cumsum(lengths, dtype=np.int64))


class PackedModel:
    """A model's weights in the form of this forward pass. Later changes of the model's blocks do not affect it.

    `precision` is that of products and of the values between layers. Sums, norms and softmax are always float32. Raises
    `AlbertError` (bad-model) for a network that it does not cover.
    """

    def __init__(self, model: AlbertForTask, precision: Literal["fp32", "bf16"]) -> None:
        if missing := unknown(model.config, model.head_name, windows=True):
            raise AlbertError(
                ErrorKind.MODEL, "early exit and int8", expected="a network that the fast forms cover",
                got=", ".join(missing), hint="leave --early-exit and int8 out",
            )  # fmt: skip
        keep_freed_memory()
        self.model = model
        self.dtype = _DTYPES[precision]
        config, encoder = model.config, model.albert.encoder
        self.heads = config.num_attention_heads
        self.size = config.hidden_size // self.heads
        self.compiled = attention(self.dtype, self.size)
        self.mapping = Linear(self.dtype, encoder.mapping) if isinstance(encoder.mapping, nn.Linear) else None
        layers = list(encoder.layers())
        blocks = {layer: Block(layer, config.hidden_act, self.dtype) for layer in layers}
        self.uses = {blocks[layer]: layers.count(layer) for layer in blocks}
        self.depths = [(blocks[layer], layers[:depth].count(layer)) for depth, layer in enumerate(layers)]
        self.by_piece = model.head.by_piece

    @cached_property
    def fused(self) -> FusedEncoder | None:
        """The encoder in one call, if possible. It is made at the first use, from the products of that moment."""
        network = Network(self.model.albert.embeddings, self.mapping, list(self.uses), self.heads, self.dtype)
        return None if self.compiled is None else fused(network)

    def watch(self) -> list[dict[str, Watched]]:
        """Makes every product record the ranges of its inputs, block by block."""
        vars(self).pop("fused", None)
        return [watch(block, uses) for block, uses in self.uses.items()]

    def quantize(self, calibration: Calibration) -> None:
        """Turns every product into int8. Raises `AlbertError` (bad-model) for ranges of another network."""
        wanted = [{name: (uses, getattr(block, name).source.shape[1]) for name in PRODUCTS}
                  for block, uses in self.uses.items()]  # fmt: skip
        if wanted != [{name: found[name].sizes.shape for name in PRODUCTS} for found in calibration]:
            raise AlbertError(ErrorKind.MODEL, "int8 calibration", expected="that of this network", got="another's")
        for block, ranges in zip(self.uses, calibration, strict=True):
            quantize_block(block, ranges)
        vars(self).pop("fused", None)

    @torch.inference_mode()
    def logits(self, packed: Packed) -> list[np.ndarray]:
        """The head's logits for each text, float32: [labels], or [pieces, labels]."""
        starts = bounds(packed.lengths)
        states = self._encode(packed, starts, first=self.model.reads_first)
        values = self.read(states, packed.lengths, self.model.head)
        return [values[start:after] for start, after in itertools.pairwise(starts)] if self.by_piece else list(values)

    @torch.inference_mode()
    def states(self, packed: Packed) -> list[np.ndarray]:
        """The last hidden states of each text, float32 [pieces, hidden], for any head."""
        starts = bounds(packed.lengths)
        values = self._encode(packed, starts, first=False).float().numpy()
        return [values[start:after] for start, after in itertools.pairwise(starts)]

    def read(self, states: Float[Tensor, "read hidden"], lengths: np.ndarray, head: Head) -> np.ndarray:
        """The head's logits, float32: [texts, labels] or [tokens, labels].

        `states` are those of the texts' first pieces if the model reads no others, else of all pieces.
        """
        states = states.float()
        if self.by_piece:
            return np.asarray(self.model.read(states[None], None, head=head)[0])
        if not self.model.reads_first:
            states = torch.segment_reduce(states, "mean", lengths=torch.from_numpy(lengths))
        summary, pooler = states[:, None], self.model.albert.pooler  # a sequence of one
        pooled = None if pooler is None else pooler(summary, None)
        return np.asarray(self.model.read(summary, pooled, head=head))

    def _encode(self, packed: Packed, starts: np.ndarray, *, first: bool) -> Float[Tensor, "read hidden"]:
        """The last hidden states, with `first` those of the first pieces alone."""
        read = len(packed.lengths) if first else len(packed.ids)
        return self.run(self.embed(packed, starts), starts, first=first, reach=self.reach(packed))[:read]

    def reach(self, packed: Packed) -> Reach | None:
        """How far attention goes in these texts; None for all of each."""
        config, lengths = self.model.config, packed.lengths
        if config.attention_window is None:
            return None
        shared = np.minimum(lengths, config.global_tokens)
        if config.global_question:
            second = [int(types.argmax()) for types in packed.types.clamp(max=1).split(lengths.tolist())]
            shared = np.maximum(shared, second)  # where the second text begins: 0 without one
        return Reach(config.attention_window // 2, np.ascontiguousarray(shared, np.int64))

    def run(
        self,
        x: Float[Tensor, "rows hidden"],
        starts: np.ndarray,
        *,
        depths: slice = slice(None),
        first: bool = False,
        reach: Reach | None = None,
    ) -> Float[Tensor, "read hidden"]:
        """What these depths make of x, whose texts lie between `starts`, with `first` of the first pieces alone.

        It is filled up like x.
        """
        texts, chosen = len(starts) - 1, self.depths[depths]
        if self.fused is not None:
            wanted = self.rows(texts) if first else len(x)
            found = self.fused.run(x, starts, [block for block, _ in chosen], wanted=wanted, first=first, reach=reach)
            if found is not None:
                return found
        attend = self.attention(starts, reach)
        for block, use in chosen[:-1]:
            x = block(x, use, attend)
        block, use = chosen[-1]
        read = None
        if first:
            read = torch.from_numpy(np.append(starts[:-1], np.zeros(self.rows(texts) - texts, np.int64)))
        return block(x, use, attend, read=read)

    def rows(self, tokens: int) -> int:
        """The number of rows to which `tokens` are padded; no padding with our own products."""
        return tokens if self.fused is not None and self.fused.ours else rows_for(tokens)

    def attention(self, starts: np.ndarray, reach: Reach | None = None) -> Attend:
        """Attention over texts that lie between `starts`."""
        if self.compiled is not None:
            return Attention(self.compiled, self.size, self.heads, torch.from_numpy(starts), reach)
        if reach is not None:
            return partial(_attend_within, starts=starts, reach=reach, heads=self.heads)
        return partial(_attend, groups=_groups(np.diff(starts), starts, self.dtype), heads=self.heads)

    def embed(self, packed: Packed, starts: np.ndarray) -> Float[Tensor, "rows hidden"]:
        """The input of the first depth, padded with copies of the first row."""
        rows = self.rows(len(packed.ids))
        if self.fused is not None and (found := self.fused.embed(packed.ids, packed.types, starts, rows)) is not None:
            return found
        tables = self.model.albert.embeddings
        positions = torch.from_numpy(np.concatenate([np.arange(length) for length in packed.lengths]))
        x = tables.norm(tables.word(packed.ids) + tables.token_type(packed.types) + tables.position(positions))
        x = filled(x.to(self.dtype), rows)
        return x if self.mapping is None else self.mapping(x)


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
    """Neighbours that are little shorter than the first of them."""
    groups = []
    first = 0
    for last in range(1, len(lengths) + 1):
        if last < len(lengths) and 0 <= lengths[first] - lengths[last] <= _SLACK:
            continue
        own, longest = lengths[first:last], int(lengths[first])
        start, after, texts = int(starts[first]), int(starts[last]), last - first
        if (own == longest).all():
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


def _attend_within(
    qkv: Float[Tensor, "tokens width"], *, starts: np.ndarray, reach: Reach, heads: int, rows: int, first: bool
) -> Float[Tensor, "rows hidden"]:
    """Attention through windows, text by text; with `first` for the first piece of each alone. Filled up to `rows`."""
    parts = []
    for text, (start, after) in enumerate(itertools.pairwise(starts.tolist())):
        q, k, v = qkv[start:after].view(1, after - start, 3, heads, -1).permute(2, 0, 3, 1, 4)
        shared = torch.from_numpy(reach.shared[text : text + 1])
        blocks = Blocks(reach.half, shared, torch.ones(1, after - start, dtype=torch.bool))
        context = blocks.attend(q, k, v, dropout=0.0)[:, :, : 1 if first else None]
        parts.append(context.transpose(1, 2).flatten(2)[0])
    return filled(torch.cat(parts), rows)


def _attend(
    qkv: Float[Tensor, "tokens width"], *, groups: list[_Group], heads: int, rows: int, first: bool
) -> Float[Tensor, "rows hidden"]:
    """Each text's attention to itself; with `first` for its first piece alone. Filled up to `rows`."""
    parts = []
    for group in groups:
        own = qkv[group.start : group.after] if group.gather is None else qkv[group.gather]
        q, k, v = own.view(group.texts, group.length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        if first:
            q = q[:, :, :1]
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=group.bias).transpose(1, 2).flatten(2).flatten(0, 1)
        parts.append(context if first or group.real is None else context[group.real])
    return filled(parts[0] if len(parts) == 1 else torch.cat(parts), rows)
