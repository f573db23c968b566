"""What networks are made of: the published sizes and our own, and the shape of a decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from albert.errors import AlbertError, ErrorKind

_MOST_LAYERS = 512
BERT_NETWORK: dict[str, Any] = {"sharing": "none", "embedding_projection": False}  # of every BERT


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """The decoder of a network that writes texts; its widths, head count and dropout are the encoder's.

    `decoder_layers` and `decoder_groups` of 0 are as many as the encoder's. With `share_with_encoder` its
    self-attention and feed-forward network are the encoder's own, and cross-attention alone is new.
    """

    decoder_layers: int = 0
    decoder_groups: int = 0
    share_with_encoder: bool = False

    def __post_init__(self) -> None:
        for name in ("decoder_layers", "decoder_groups"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_LAYERS:
                expected = f"a whole number from 0 to {_MOST_LAYERS}"
                raise AlbertError(ErrorKind.CONFIG, name, expected=expected, got=f"{value!r:.200}")


def _published(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    """Paper, Table 1: FFN 4H, E = 128."""
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
    }


_V1 = {"hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
_V1_XXLARGE = {"hidden_act": "gelu"}  # its json has dropout 0
_BERT = {
    **BERT_NETWORK,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "vocab_size": 30_522,
}

# xlarge: the published jsons say 16 heads (HF, Paddle), the paper's H/64 rule 32. We follow the jsons.
SIZES: dict[str, dict[str, Any]] = {
    "tiny": _published(128, 2, 2),
    "mini": _published(256, 4, 4),
    "small": _published(384, 6, 6),
    "base": _published(768, 12, 12),
    "large": _published(1024, 24, 16),
    "xlarge": _published(2048, 24, 16),
    "xxlarge": _published(4096, 12, 64),
    "base-v1": _published(768, 12, 12) | _V1,
    "large-v1": _published(1024, 24, 16) | _V1,
    "xlarge-v1": _published(2048, 24, 16) | _V1,
    "xxlarge-v1": _published(4096, 12, 64) | _V1_XXLARGE,
    "bert-base": _published(768, 12, 12) | _BERT | {"embedding_size": 768},
    "bert-large": _published(1024, 24, 16) | _BERT | {"embedding_size": 1024},
}
SIZES |= {f"{size}-v2": SIZES[size] for size in ("base", "large", "xlarge", "xxlarge")}
