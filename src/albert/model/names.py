"""One reversible table between our parameter names and those of transformers' checkpoints."""

from __future__ import annotations

from collections.abc import Iterator

from albert.config import AlbertConfig
from albert.model.heads import HEADS

_EMBEDDINGS = {
    "embeddings.word": "embeddings.word_embeddings",
    "embeddings.position": "embeddings.position_embeddings",
    "embeddings.token_type": "embeddings.token_type_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
}
_LAYER = {
    "attention.query": "attention.query",
    "attention.key": "attention.key",
    "attention.value": "attention.value",
    "attention.output": "attention.dense",
    "attention.norm": "attention.LayerNorm",
    "ffn.inner": "ffn",
    "ffn.outer": "ffn_output",
    "ffn.norm": "full_layer_layer_norm",
}
_HEADS = {
    "masked_lm": {"head.dense": "predictions.dense", "head.norm": "predictions.LayerNorm"},
    "pretraining": {
        "head.mlm.dense": "predictions.dense",
        "head.mlm.norm": "predictions.LayerNorm",
        "head.sop.linear": "sop_classifier.classifier",
    },
    "sequence_classification": {"head.linear": "classifier"},
    "token_classification": {"head.linear": "classifier"},
    "span": {"head.linear": "qa_outputs"},
    "multiple_choice": {"head.linear": "classifier"},
    "embedding": {},
}
_HEAD_BIASES = {"masked_lm": "head.bias", "pretraining": "head.mlm.bias"}


def transformers_names(config: AlbertConfig, head: str | None) -> dict[str, str]:
    """Our name -> theirs for every tensor of the encoder (below "albert.") and of `head`, if one is named."""
    return dict(_names(config, head))


def is_head_name(name: str) -> bool:
    """Whether a tensor's transformers name belongs to a head, whichever it is."""
    return name.split(".")[0] in {"predictions", "sop_classifier", "classifier", "qa_outputs"}


def _names(config: AlbertConfig, head: str | None) -> Iterator[tuple[str, str]]:
    for ours, theirs in _modules(config, head):
        yield f"{ours}.weight", f"{theirs}.weight"
        if not ours.endswith((".word", ".position", ".token_type")):
            yield f"{ours}.bias", f"{theirs}.bias"
    if head in _HEAD_BIASES:
        yield _HEAD_BIASES[head], "predictions.bias"


def _modules(config: AlbertConfig, head: str | None) -> Iterator[tuple[str, str]]:
    for ours, theirs in _EMBEDDINGS.items():
        yield f"albert.{ours}", f"albert.{theirs}"
    if config.embedding_projection:
        yield "albert.encoder.mapping", "albert.encoder.embedding_hidden_mapping_in"
    for group in range(config.num_hidden_groups):
        for inner in range(config.inner_group_num):
            for ours, theirs in _LAYER.items():
                yield (
                    f"albert.encoder.groups.{group}.{inner}.{ours}",
                    f"albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}.{theirs}",
                )
    if head is None or HEADS[head].needs_pooler:
        yield "albert.pooler.linear", "albert.pooler"
    yield from _HEADS.get(head or "", {}).items()
