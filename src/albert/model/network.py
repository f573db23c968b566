"""The ALBERT encoder (Lan et al. 2019, arXiv 1909.11942): factorised embeddings, shared layers.

BERT is the same code with E = H, no mapping and nothing shared: `AlbertConfig.named("bert-base")`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from albert.config import AlbertConfig

ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
}


@dataclass(frozen=True)
class EncoderOutput:
    """The encoder's output: one vector per position, and the pooled vector if the model has a pooler."""

    last_hidden_state: Float[Tensor, "batch seq hidden"]
    pooler_output: Float[Tensor, "batch hidden"] | None


class Embeddings(nn.Module):
    """Word, position and token type, summed and normalised, of size E (section 3.1)."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        size = config.embedding_size
        self.word = _table(config.vocab_size, size, padding_idx=config.pad_token_id)
        self.position = _table(config.max_position_embeddings, size)
        self.token_type = _table(config.type_vocab_size, size)
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, input_ids: Int[Tensor, "batch seq"], token_type_ids: Int[Tensor, "batch seq"], *, start: int = 0
    ) -> Float[Tensor, "batch seq embedding"]:
        """`start` is the position of the first piece."""
        positions = torch.arange(start, start + input_ids.shape[1], device=input_ids.device)
        x = self.word(input_ids) + self.token_type(token_type_ids) + self.position(positions)
        return self.dropout(self.norm(x))


def _table(rows: int, size: int, *, padding_idx: int | None = None) -> nn.Embedding:
    if torch.get_default_device().type != "meta":
        return nn.Embedding(rows, size, padding_idx=padding_idx)
    # On the meta device drawing values imports torch._dynamo, 2 s of a cold start.
    return nn.Embedding.from_pretrained(torch.empty(rows, size), freeze=False, padding_idx=padding_idx)


class Attention(nn.Module):
    """Multi-head self-attention with its output projection, residual and LayerNorm."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads = config.num_attention_heads
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.output = nn.Linear(size, size)
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.attention_dropout = config.attention_probs_dropout_prob
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, x: Float[Tensor, "batch seq hidden"], mask: Bool[Tensor, "batch 1 #seq seq"] | None
    ) -> Float[Tensor, "batch seq hidden"]:
        return self.add(x, self.read(self.by_head(self.query(x)), *self.keys_values(x), mask))

    def read(
        self,
        query: Float[Tensor, "batch heads seq head"],
        keys: Float[Tensor, "batch heads keys head"],
        values: Float[Tensor, "batch heads keys head"],
        mask: Bool[Tensor, "#batch 1 #seq keys"] | None,
    ) -> Float[Tensor, "batch heads seq head"]:
        """What each position reads of the values; the mask is true where it may."""
        dropout = self.attention_dropout if self.training else 0.0
        return attend(query, keys, values, mask, dropout=dropout)

    def add(
        self, x: Float[Tensor, "batch seq hidden"], context: Float[Tensor, "batch heads seq head"]
    ) -> Float[Tensor, "batch seq hidden"]:
        """Output projection, residual and LayerNorm."""
        return self.norm(x + self.dropout(self.output(context.transpose(1, 2).flatten(2))))

    def keys_values(
        self, x: Float[Tensor, "batch seq hidden"]
    ) -> tuple[Float[Tensor, "batch heads seq head"], Float[Tensor, "batch heads seq head"]]:
        """What others read of `x`: its keys and its values."""
        return self.by_head(self.key(x)), self.by_head(self.value(x))

    def by_head(self, x: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch heads seq head"]:
        """The parts of each position that the heads read."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def attend(
    query: Float[Tensor, "batch heads seq head"],
    keys: Float[Tensor, "batch heads keys head"],
    values: Float[Tensor, "batch heads keys head"],
    mask: Bool[Tensor, "#batch 1 #seq keys"] | None,
    *,
    dropout: float,
) -> Float[Tensor, "batch heads seq head"]:
    """Attention of all heads.

    On a CPU it learns in float32 under autocast, too: in bfloat16 PyTorch takes 5 times as long (docs/log.md).
    """
    if query.requires_grad and torch.is_autocast_enabled("cpu") and query.device.type == "cpu" and not dropout:
        with torch.autocast("cpu", enabled=False):
            query, keys, values = query.float(), keys.float(), values.float()
            return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, dropout_p=dropout)


class FeedForward(nn.Module):
    """H -> I -> H with residual and LayerNorm. One dropout, after the second Linear, as in Google's code."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.hidden_size, config.intermediate_size)
        self.outer = nn.Linear(config.intermediate_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq hidden"]:
        return self.norm(x + self.dropout(self.outer(self.activation(self.inner(x)))))


class Layer(nn.Module):
    """One Transformer block: attention, then the feed-forward network."""

    def __init__(self, attention: Attention, ffn: FeedForward) -> None:
        super().__init__()
        self.attention = attention
        self.ffn = ffn

    def forward(
        self, x: Float[Tensor, "batch seq hidden"], mask: Bool[Tensor, "batch 1 #seq seq"] | None
    ) -> Float[Tensor, "batch seq hidden"]:
        return self.ffn(self.attention(x, mask))


class Encoder(nn.Module):
    """The mapping E -> H and L iterations over G groups of shared blocks (sections 3.1 and 4.5)."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.num_layers = config.num_hidden_layers
        self.mapping = (
            nn.Linear(config.embedding_size, config.hidden_size) if config.embedding_projection else nn.Identity()
        )
        groups = [
            [Layer(Attention(config), FeedForward(config)) for _ in range(config.inner_group_num)]
            for _ in range(config.num_hidden_groups)
        ]
        for group in groups[1:]:
            for layer, first in zip(group, groups[0], strict=True):
                if config.sharing == "attention":
                    layer.attention = first.attention
                elif config.sharing == "ffn":
                    layer.ffn = first.ffn
        self.groups = nn.ModuleList([nn.ModuleList(group) for group in groups])

    def depths(
        self, x: Float[Tensor, "batch seq embedding"], mask: Bool[Tensor, "batch 1 #seq seq"] | None
    ) -> Iterator[Float[Tensor, "batch seq hidden"]]:
        """The hidden states behind each depth."""
        x = self.mapping(x)
        for layer in self.layers():
            x = layer(x, mask)
            yield x

    def layers(self) -> Iterator[Layer]:
        """The block of each depth; shared blocks repeat."""
        for iteration in range(self.num_layers):
            yield from self.groups[iteration * len(self.groups) // self.num_layers]  # type: ignore[misc]


class Pooler(nn.Module):
    """tanh(Linear) of the first position, or of the mean over real positions."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.linear = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, x: Float[Tensor, "batch seq hidden"], attention_mask: Int[Tensor, "batch seq"] | None
    ) -> Float[Tensor, "batch hidden"]:
        if self.pooling == "cls":
            pooled = x[:, 0]
        elif attention_mask is None:
            pooled = x.mean(1)
        else:
            weights = attention_mask.unsqueeze(2).to(x.dtype)
            pooled = (x * weights).sum(1) / weights.sum(1)
        return torch.tanh(self.linear(pooled))


class AlbertModel(nn.Module):
    """Embeddings, encoder and pooler. `pooler=False` leaves the pooler out."""

    def __init__(self, config: AlbertConfig, *, pooler: bool = True) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = Pooler(config) if pooler else None

    @classmethod
    def from_pretrained(cls, name: str | Path) -> AlbertModel:
        """Loads the encoder of a model folder or hub id; see `albert.model.checkpoint.load_encoder`."""
        from albert.model.checkpoint import load_encoder

        return load_encoder(name)

    def forward(
        self,
        input_ids: Int[Tensor, "batch seq"],
        *,
        attention_mask: Int[Tensor, "batch seq"] | None = None,
        token_type_ids: Int[Tensor, "batch seq"] | None = None,
    ) -> EncoderOutput:
        """Encodes ids. `attention_mask` is 1 at real positions and 0 at padding (None: no padding)."""
        depths = self.depths(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        hidden = deque(depths, maxlen=1).pop()  # one depth in memory at a time
        pooled = None if self.pooler is None else self.pooler(hidden, attention_mask)
        return EncoderOutput(hidden, pooled)

    def depths(
        self,
        input_ids: Int[Tensor, "batch seq"],
        *,
        attention_mask: Int[Tensor, "batch seq"] | None = None,
        token_type_ids: Int[Tensor, "batch seq"] | None = None,
    ) -> Iterator[Float[Tensor, "batch seq hidden"]]:
        """The hidden states behind each depth of the encoder."""
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None, :]
        if self.config.attention_window is not None:
            mask = torch.ones_like(input_ids).bool()[:, None, None, :] if mask is None else mask
            mask = window_mask(self.config.attention_window, global_pieces(self.config, token_type_ids), mask)
        return self.encoder.depths(self.embeddings(input_ids, token_type_ids), mask)


def global_pieces(config: AlbertConfig, token_type_ids: Int[Tensor, "batch seq"]) -> Int[Tensor, " batch"]:
    """How many pieces at the beginning of each row are global: the first ones, and the first text of a pair."""
    seq = token_type_ids.shape[1]
    question = (token_type_ids != 0).int().argmax(1)  # 0 where there is no second text
    if not config.global_question:
        question = torch.zeros_like(question)
    return question.clamp(min=min(config.global_tokens, seq))


def window_mask(
    window: int, global_pieces: Int[Tensor, " batch"], real: Bool[Tensor, "batch 1 1 seq"]
) -> Bool[Tensor, "batch 1 seq seq"]:
    """Which positions (the last dimension) each position reads: its window and the global pieces, which read all.

    Padding, where `real` is false, reads itself as well, and nobody else reads it: a softmax over nothing is no number.
    """
    at = torch.arange(real.shape[3], device=real.device)
    distance = (at[:, None] - at).abs()
    is_global = at < global_pieces[:, None]
    within = (distance <= window // 2) | is_global[:, :, None] | is_global[:, None, :]
    return within[:, None] & real | (distance == 0)


def initialize(module: nn.Module, config: AlbertConfig, generator: torch.Generator) -> None:
    """Draws weights from a normal cut at two standard deviations, zeroes biases (Google's modeling.py)."""
    std = config.initializer_range
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, (nn.Linear, nn.Embedding)):
                nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
            if isinstance(part, nn.Linear) and part.bias is not None:
                part.bias.zero_()
            if isinstance(part, nn.LayerNorm):
                part.reset_parameters()
