"""The decoder beside the ALBERT encoder: one block looped, as in the encoder, that also reads the encoded text.

A block is causal self-attention, cross-attention and the feed-forward network, each with its residual and LayerNorm
(Vaswani et al. 2017, post-LN). Embeddings are the encoder's, and tied with the output. Sharing self-attention and
feed-forward network with the encoder leaves cross-attention alone as new weights (Rothe et al. 2020, BERTShare).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from albert.config import AlbertConfig
from albert.model.heads import MaskedLMHead
from albert.model.network import AlbertModel, Attention, Encoder, FeedForward, initialize

ARCHITECTURE = "AlbertForText2Text"  # in config.json; transformers has no such class


@dataclass(frozen=True)
class KeysValues:
    """What an attention reads: keys and values by head."""

    keys: Float[Tensor, "rows heads seq head"]
    values: Float[Tensor, "rows heads seq head"]

    def then(self, other: KeysValues) -> KeysValues:
        """These, and the others behind them."""
        return KeysValues(torch.cat([self.keys, other.keys], 2), torch.cat([self.values, other.values], 2))

    def of(self, rows: Int[Tensor, " rows"]) -> KeysValues:
        """Those of some rows."""
        return KeysValues(self.keys.index_select(0, rows), self.values.index_select(0, rows))


@dataclass(frozen=True)
class Memory:
    """The encoded texts as cross-attention reads them: of each distinct block, and where pieces are no padding.

    Loops of one block read the same keys and values, which are computed once.
    """

    blocks: Sequence[KeysValues]
    mask: Bool[Tensor, "texts 1 1 seq"] | None

    @property
    def texts(self) -> int:
        return len(self.blocks[0].keys)

    def of(self, texts: Int[Tensor, " texts"]) -> Memory:
        """That of some texts."""
        mask = None if self.mask is None else self.mask.index_select(0, texts)
        return Memory([block.of(texts) for block in self.blocks], mask)


@dataclass(frozen=True)
class Past:
    """What self-attention reads of the pieces written so far, at each depth: the cache of decoding."""

    depths: Sequence[KeysValues]

    @property
    def length(self) -> int:
        return self.depths[0].keys.shape[2]

    def of(self, rows: Int[Tensor, " rows"]) -> Past:
        """That of some rows, in their order."""
        return Past([depth.of(rows) for depth in self.depths])


class DecoderLayer(nn.Module):
    """One block: self-attention over what is written, cross-attention over what was read, feed-forward network."""

    def __init__(self, attention: Attention, cross: Attention, ffn: FeedForward) -> None:
        super().__init__()
        self.attention = attention
        self.cross = cross
        self.ffn = ffn

    def forward(
        self,
        x: Float[Tensor, "rows seq hidden"],
        mask: Bool[Tensor, "1 1 seq keys"] | None,
        memory: KeysValues,
        memory_mask: Bool[Tensor, "texts 1 1 source"] | None,
        past: KeysValues | None,
    ) -> tuple[Float[Tensor, "rows seq hidden"], KeysValues]:
        """The block's output, and the keys and values of all that is written up to its end."""
        x, written = self._attend(x, mask, past)
        return self.ffn(self._look(x, memory, memory_mask)), written

    def weigh(
        self,
        x: Float[Tensor, "rows seq hidden"],
        mask: Bool[Tensor, "1 1 seq keys"] | None,
        memory: KeysValues,
        memory_mask: Bool[Tensor, "rows 1 1 source"] | None,
    ) -> tuple[Float[Tensor, "rows seq hidden"], Float[Tensor, "rows seq source"]]:
        """The block's output for a row per text, and the share of each source piece in what it read, over all heads."""
        x, _ = self._attend(x, mask, None)
        query = self.cross.by_head(self.cross.query(x))
        scores = query @ memory.keys.transpose(2, 3) / math.sqrt(query.shape[3])
        if memory_mask is not None:
            scores = scores.masked_fill(~memory_mask, -torch.inf)
        return self.ffn(self._look(x, memory, memory_mask)), scores.softmax(3).mean(1)

    def _attend(
        self,
        x: Float[Tensor, "rows seq hidden"],
        mask: Bool[Tensor, "1 1 seq keys"] | None,
        past: KeysValues | None,
    ) -> tuple[Float[Tensor, "rows seq hidden"], KeysValues]:
        """Self-attention."""
        query = self.attention.by_head(self.attention.query(x))
        written = KeysValues(*self.attention.keys_values(x))
        if past is not None:
            written = past.then(written)
        return self.attention.add(x, self.attention.read(query, written.keys, written.values, mask)), written

    def _look(
        self,
        x: Float[Tensor, "rows seq hidden"],
        memory: KeysValues,
        mask: Bool[Tensor, "texts 1 1 source"] | None,
    ) -> Float[Tensor, "rows seq hidden"]:
        """Cross-attention. Several rows in succession may belong to one text: they read its memory side by side."""
        texts, seq = len(memory.keys), x.shape[1]
        beside = self.cross.query(x).reshape(texts, -1, x.shape[2])
        context = self.cross.read(self.cross.by_head(beside), memory.keys, memory.values, mask)
        by_row = context.transpose(1, 2).reshape(len(x), seq, *context.shape[1::2]).transpose(1, 2)
        return self.cross.add(x, by_row)


class Decoder(nn.Module):
    """L iterations over G groups of shared blocks, as in the encoder."""

    def __init__(self, config: AlbertConfig, encoder: Encoder) -> None:
        super().__init__()
        assert config.decoder is not None
        self.num_layers = config.decoder_layers
        shared = encoder.groups if config.decoder.share_with_encoder else None

        def block(group: int, inner: int) -> DecoderLayer:
            cross = Attention(config)
            if shared is None:
                return DecoderLayer(Attention(config), cross, FeedForward(config))
            ours = shared[group][inner]  # type: ignore[index]
            return DecoderLayer(ours.attention, cross, ours.ffn)

        groups = [[block(group, inner) for inner in range(config.inner_group_num)]
                  for group in range(config.decoder_groups)]  # fmt: skip
        self.groups = nn.ModuleList([nn.ModuleList(group) for group in groups])

    def blocks(self) -> list[DecoderLayer]:
        """The distinct ones, in their order."""
        return [layer for group in self.groups for layer in group]  # type: ignore[attr-defined]

    def layers(self) -> Iterator[int]:
        """The number in `blocks` of the block of each depth."""
        inner = len(self.groups[0])  # type: ignore[arg-type]
        for iteration in range(self.num_layers):
            group = iteration * len(self.groups) // self.num_layers
            yield from range(group * inner, (group + 1) * inner)

    def remember(
        self, hidden: Float[Tensor, "texts source hidden"], attention_mask: Int[Tensor, "texts source"] | None
    ) -> Memory:
        """The encoded texts as each block reads them."""
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None, :]
        return Memory([KeysValues(*layer.cross.keys_values(hidden)) for layer in self.blocks()], mask)

    def forward(
        self, x: Float[Tensor, "rows seq hidden"], memory: Memory, past: Past | None = None
    ) -> tuple[Float[Tensor, "rows seq hidden"], Past]:
        """The hidden states of `x`, which stands behind `past`, and the past that ends with it."""
        blocks, written = self.blocks(), []
        mask = causal_mask(x.shape[1], 0 if past is None else past.length, x.device)
        for depth, block in enumerate(self.layers()):
            before = None if past is None else past.depths[depth]
            x, at_depth = blocks[block](x, mask, memory.blocks[block], memory.mask, before)
            written.append(at_depth)
        return x, Past(written)

    def weigh(self, x: Float[Tensor, "rows seq hidden"], memory: Memory) -> Float[Tensor, "rows seq source"]:
        """The share of each source piece in what a position reads of it: the mean over depths and heads."""
        blocks, shares = self.blocks(), []
        mask = causal_mask(x.shape[1], 0, x.device)
        for block in self.layers():
            x, at_depth = blocks[block].weigh(x, mask, memory.blocks[block], memory.mask)
            shares.append(at_depth)
        return torch.stack(shares).mean(0)


def causal_mask(length: int, past: int, device: torch.device) -> Bool[Tensor, "1 1 seq keys"] | None:
    """Each position reads itself and those before it; None for a single one, which reads all."""
    if length == 1:
        return None
    return torch.ones(length, past + length, dtype=torch.bool, device=device).tril(past)[None, None]


class AlbertForText2Text(nn.Module):
    """The encoder that reads, the decoder that writes, and the masked-language-model head that names pieces.

    Embeddings and the mapping E -> H are the encoder's. Pieces that are written have the last token type, so that the
    network tells them from those that are read.
    """

    def __init__(self, config: AlbertConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.albert = AlbertModel(config, pooler=False)
        self.decoder = Decoder(config, self.albert.encoder)
        self.head = MaskedLMHead(config)
        if generator is not None:
            initialize(self, config, generator)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.head.bias.device

    def forward(
        self,
        input_ids: Int[Tensor, "batch source"],
        target_ids: Int[Tensor, "batch target"],
        *,
        attention_mask: Int[Tensor, "batch source"] | None = None,
        token_type_ids: Int[Tensor, "batch source"] | None = None,
    ) -> Float[Tensor, "batch target hidden"]:
        """The hidden state behind each piece of the targets, from which `logits` names the next one.

        Padding at the targets' ends changes nothing before it.
        """
        memory = self.read(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return self.write(target_ids, memory)[0]

    def read(
        self,
        input_ids: Int[Tensor, "texts source"],
        *,
        attention_mask: Int[Tensor, "texts source"] | None = None,
        token_type_ids: Int[Tensor, "texts source"] | None = None,
    ) -> Memory:
        """Encodes texts."""
        out = self.albert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return self.decoder.remember(out.last_hidden_state, attention_mask)

    def write(
        self, target_ids: Int[Tensor, "rows target"], memory: Memory, past: Past | None = None
    ) -> tuple[Float[Tensor, "rows target hidden"], Past]:
        """The hidden states of pieces that stand behind `past`, and the past that ends with them.

        The rows are those of the texts in order, for each text equally many.
        """
        return self.decoder(self._embedded(target_ids, 0 if past is None else past.length), memory, past)

    def write_each(
        self, parts: Sequence[tuple[Tensor, Memory, Past | None]]
    ) -> tuple[Float[Tensor, "rows hidden"], list[Past]]:
        """As `write` for each part, one behind the other: the hidden states of the last pieces alone."""
        hidden, pasts = zip(*(self.write(*part) for part in parts), strict=True)
        return torch.cat([states[:, -1] for states in hidden]), list(pasts)

    def align(self, target_ids: Int[Tensor, "rows target"], memory: Memory) -> Float[Tensor, "rows target source"]:
        """How much each position looks at each piece of its text as it chooses the next one; a row for each text."""
        return self.decoder.weigh(self._embedded(target_ids, 0), memory)

    def _embedded(self, target_ids: Int[Tensor, "rows target"], start: int) -> Float[Tensor, "rows target hidden"]:
        types = torch.full_like(target_ids, self.config.type_vocab_size - 1)
        embedded: Tensor = self.albert.encoder.mapping(self.albert.embeddings(target_ids, types, start=start))
        return embedded

    def logits(self, hidden: Float[Tensor, "*positions hidden"]) -> Float[Tensor, "*positions vocab"]:
        """A score for each piece of the vocabulary, in the place behind."""
        scores: Tensor = self.head(hidden, self.albert.embeddings.word.weight)
        return scores

    def start_as_encoder(self) -> None:
        """Gives the decoder's self-attention and feed-forward network the encoder's weights, group by group."""
        encoder, decoder = self.albert.encoder.groups, self.decoder.groups
        for number, group in enumerate(decoder):
            source = encoder[number * len(encoder) // len(decoder)]
            for ours, theirs in zip(group, source, strict=True):  # type: ignore[call-overload]
                ours.attention.load_state_dict(theirs.attention.state_dict())
                ours.ffn.load_state_dict(theirs.ffn.state_dict())

    def drawn_part(self, name: str) -> str | None:
        """The part of a tensor that no checkpoint has, in words; None where `start_as_encoder` gives its values."""
        if name.startswith("decoder."):
            return "cross-attention" if ".cross." in name else None
        return name.rsplit(".", 1)[0]
