"""Reversible tables between our parameter names and those of transformers' checkpoints: ALBERT's and BERT's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from albert.config import AlbertConfig
from albert.model.heads import HEADS

_EMBEDDINGS = {
    "embeddings.word": "embeddings.word_embeddings",
    "embeddings.position": "embeddings.position_embeddings",
    "embeddings.token_type": "embeddings.token_type_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
}


@dataclass(frozen=True)
class Family:
    """transformers' names for the tensors of one family of models.

    `block` is the name of a block, by its group and its position in the group. `redundant` tensors may be stored
    without being read: position ids, and the decoder that is tied to the word embeddings.
    """

    prefix: str
    mapping: str
    block: str
    layer: dict[str, str]
    pooler: str
    mlm_bias: str
    redundant: frozenset[str]

    def architecture(self, head: str | None) -> str:
        """The name of transformers' class for the encoder with a head of `HEADS`, or alone."""
        name = "AlbertModel" if head is None else HEADS[head].architecture
        return name.replace("Albert", self.prefix.capitalize())

    def is_head_name(self, name: str) -> bool:
        """Whether a tensor's name belongs to a head, whichever it is."""
        theirs = (theirs for head in HEADS.values() for theirs in head.names[self.prefix].values())
        return name.split(".")[0] in {"decoder", *(part.split(".")[0] for part in theirs)}


FAMILIES = {
    "albert": Family(
        prefix="albert",
        mapping="albert.encoder.embedding_hidden_mapping_in",
        block="albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}",
        layer={
            "attention.query": "attention.query",
            "attention.key": "attention.key",
            "attention.value": "attention.value",
            "attention.output": "attention.dense",
            "attention.norm": "attention.LayerNorm",
            "ffn.inner": "ffn",
            "ffn.outer": "ffn_output",
            "ffn.norm": "full_layer_layer_norm",
        },
        pooler="albert.pooler",
        mlm_bias="predictions.bias",
        redundant=frozenset(
            {"albert.embeddings.position_ids", "predictions.decoder.weight", "predictions.decoder.bias"}
        ),
    ),
    "bert": Family(
        prefix="bert",
        mapping="",
        block="bert.encoder.layer.{group}",
        layer={
            "attention.query": "attention.self.query",
            "attention.key": "attention.self.key",
            "attention.value": "attention.self.value",
            "attention.output": "attention.output.dense",
            "attention.norm": "attention.output.LayerNorm",
            "ffn.inner": "intermediate.dense",
            "ffn.outer": "output.dense",
            "ffn.norm": "output.LayerNorm",
        },
        pooler="bert.pooler.dense",
        mlm_bias="cls.predictions.bias",
        # The published BERTs say that they are BertForMaskedLM, and hold the next-sentence head, too.
        redundant=frozenset(
            {
                "bert.embeddings.position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias",
                "cls.seq_relationship.weight", "cls.seq_relationship.bias",
            }
        ),
    ),
}  # fmt: skip


def transformers_names(config: AlbertConfig, head: str | None) -> dict[str, str]:
    """Our name -> theirs for every tensor of the encoder (ours below "albert.") and of `head`, if one is named."""
    return dict(_names(config, head))


def text2text_names(config: AlbertConfig) -> dict[str, str]:
    """The same for a network with a decoder, whose own tensors have our names: transformers knows none like it.

    Parts that it shares with the encoder are named once, there.
    """
    assert config.decoder is not None
    own: dict[str, tuple[str, ...]] = {"cross": ("query", "key", "value", "output", "norm")}
    if not config.decoder.share_with_encoder:
        own |= {"attention": own["cross"], "ffn": ("inner", "outer", "norm")}
    names = [
        f"decoder.groups.{group}.{inner}.{part}.{module}.{tensor}"
        for group in range(config.decoder_groups)
        for inner in range(config.inner_group_num)
        for part, modules in own.items()
        for module in modules
        for tensor in ("weight", "bias")
    ]
    return transformers_names(config, "masked_lm") | {name: name for name in names}


def _names(config: AlbertConfig, head: str | None) -> Iterator[tuple[str, str]]:
    for ours, theirs in _modules(config, head):
        yield f"{ours}.weight", f"{theirs}.weight"
        if not ours.endswith((".word", ".position", ".token_type")):
            yield f"{ours}.bias", f"{theirs}.bias"
    if head is not None and (bias := HEADS[head].tied_bias) is not None:
        yield bias, FAMILIES[config.model_type].mlm_bias


def _modules(config: AlbertConfig, head: str | None) -> Iterator[tuple[str, str]]:
    family = FAMILIES[config.model_type]
    for ours, theirs in _EMBEDDINGS.items():
        yield f"albert.{ours}", f"{family.prefix}.{theirs}"
    if config.embedding_projection:
        yield "albert.encoder.mapping", family.mapping
    for group in range(config.num_hidden_groups):
        for inner in range(config.inner_group_num):
            block = family.block.format(group=group, inner=inner)
            for ours, theirs in family.layer.items():
                yield f"albert.encoder.groups.{group}.{inner}.{ours}", f"{block}.{theirs}"
    if head is None or HEADS[head].needs_pooler:
        yield "albert.pooler.linear", family.pooler
    if head is not None:
        yield from HEADS[head].names[family.prefix].items()
