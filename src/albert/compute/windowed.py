"""Attention through windows in blocks: time and memory grow with the length, not with its square.

Queries come in blocks of half a window. Each block reads the keys of its own block and of both neighbours, and the
global pieces, in one softmax; the global pieces read everything. Forward and backward are PyTorch's, on any device.
Equal to the reference by tests/compute/test_windowed.py. Source: Beltagy et al. 2020, section 3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from albert.compute.covers import covers
from albert.model import AlbertForTask, AlbertModel, EncoderOutput
from albert.model.network import Attention, attend, global_pieces

Heads = Float[Tensor, "batch heads seq size"]
_SHORT = 2  # windows: up to here the reference, which compares all pieces, is faster


def applies(model: AlbertModel, length: int) -> bool:
    """Whether `encode` computes in blocks: if texts are longer than two windows, and it knows all else."""
    window = model.config.attention_window
    return window is not None and length > _SHORT * window and covers(model.config, None, windows=True)


def encode(
    model: AlbertModel,
    input_ids: Int[Tensor, "batch seq"],
    *,
    attention_mask: Int[Tensor, "batch seq"] | None = None,
    token_type_ids: Int[Tensor, "batch seq"] | None = None,
) -> EncoderOutput:
    """What `model(...)` gives, in blocks where that `applies`."""
    if not applies(model, input_ids.shape[1]):
        out: EncoderOutput = model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return out
    types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    hidden = deque(depths(model, input_ids, types, mask.bool()), maxlen=1).pop()
    return EncoderOutput(hidden, None if model.pooler is None else model.pooler(hidden, attention_mask))


def task_logits(
    model: AlbertForTask,
    input_ids: Int[Tensor, "batch seq"],
    *,
    attention_mask: Int[Tensor, "batch seq"],
    token_type_ids: Int[Tensor, "batch seq"],
) -> Tensor:
    """The logits that `model` has for a batch of sequences, with the encoder in blocks where that `applies`."""
    out = encode(model.albert, input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
    logits: Tensor = model.read(out.last_hidden_state, out.pooler_output, attention_mask)  # type: ignore[assignment]
    return logits


def depths(
    model: AlbertModel, ids: Int[Tensor, "batch seq"], types: Int[Tensor, "batch seq"], real: Bool[Tensor, "batch seq"]
) -> Iterator[Float[Tensor, "batch seq hidden"]]:
    """The hidden states behind each depth, attention in blocks; `real` is true where there is no padding."""
    window = model.config.attention_window
    assert window is not None
    blocks = Blocks(window // 2, global_pieces(model.config, types), real)
    x = model.encoder.mapping(model.embeddings(ids, types))
    for layer in model.encoder.layers():
        x = layer.ffn(_attended(layer.attention, x, blocks))
        yield x


def _attended(
    attention: Attention, x: Float[Tensor, "batch seq hidden"], blocks: Blocks
) -> Float[Tensor, "batch seq hidden"]:
    """`Attention.forward` with attention in blocks."""
    parts = (attention.query(x), attention.key(x), attention.value(x))
    q, k, v = (part.unflatten(2, (attention.heads, -1)).transpose(1, 2) for part in parts)
    dropout = attention.attention_dropout if attention.training else 0.0
    context = blocks.attend(q, k, v, dropout=dropout).transpose(1, 2).flatten(2)
    attended: Tensor = attention.norm(x + attention.dropout(attention.output(context)))
    return attended


class Blocks:
    """Which keys each query of a batch reads; the same for all depths."""

    def __init__(self, half: int, global_pieces: Int[Tensor, " batch"], real: Bool[Tensor, "batch seq"]) -> None:
        """`half` is how far a position reads to either side."""
        self.seq = real.shape[1]
        self.half = min(half, self.seq)  # a wider block would be padding alone
        self.count = -(-self.seq // self.half)
        self.most = int(global_pieces.max())
        device = real.device
        block = torch.arange(self.count, device=device)[:, None, None] * self.half
        asking = block + torch.arange(self.half, device=device)[:, None]  # [count, half, 1]
        asked = block - self.half + torch.arange(3 * self.half, device=device)  # [count, 1, 3 half]
        near = ((asking - asked).abs() <= half) & (asked >= 0) & (asked < self.seq)
        own = real[:, asked.clamp(0, self.seq - 1)[:, 0]][:, :, None]  # [batch, count, 1, 3 half]
        local = near & own & (asked >= global_pieces[:, None, None, None])
        at = torch.arange(self.most, device=device)
        shared = (at < global_pieces[:, None]) & real[:, : self.most]
        shared = shared[:, None, None].expand(-1, self.count, self.half, -1)
        read = torch.cat([local, shared], 3)
        # Padding reads itself: nobody reads it, and a softmax over nothing would not be a number.
        itself = torch.cat([asking == asked, torch.zeros_like(asking == at)], 2)
        self.mask = (read | (itself & ~read.any(3, keepdim=True))).flatten(0, 1)[:, None]
        self.real = real[:, None, None]
        self.is_global = (torch.arange(self.seq, device=device) < global_pieces[:, None])[:, None, :, None]

    def attend(self, q: Heads, k: Heads, v: Heads, *, dropout: float) -> Heads:
        """Attention of every query to what it reads."""
        asking = F.pad(q, (0, 0, 0, self.count * self.half - self.seq)).unflatten(2, (self.count, self.half))
        keys, values = (torch.cat([self._neighbours(x), self._shared(x)], 3) for x in (k, v))
        asking, keys, values = (x.transpose(1, 2).flatten(0, 1) for x in (asking, keys, values))  # a block a row
        context = attend(asking, keys, values, self.mask, dropout=dropout)
        context = context.unflatten(0, (len(q), self.count)).transpose(1, 2).flatten(2, 3)[:, :, : self.seq]
        if not self.most:
            return context
        of_all = attend(q[:, :, : self.most], k, v, self.real, dropout=dropout)
        of_all = F.pad(of_all, (0, 0, 0, self.seq - self.most))
        return torch.where(self.is_global, of_all, context)

    def _neighbours(self, x: Heads) -> Float[Tensor, "batch heads count keys size"]:
        """The keys or values of each block and of those beside it."""
        after = (self.count + 1) * self.half - self.seq
        return F.pad(x, (0, 0, self.half, after)).unfold(2, 3 * self.half, self.half).transpose(3, 4)

    def _shared(self, x: Heads) -> Float[Tensor, "batch heads count most size"]:
        """Those of the global pieces, for each block."""
        return x[:, :, None, : self.most].expand(-1, -1, self.count, -1, -1)
