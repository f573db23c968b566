"""The one gate of the fast forms: which networks they compute exactly as the reference does.

Every fast form asks here before it runs: the packed forward pass with its kernels, int8 and early exit, the step of
training on a CPU, the encoder over full rows. If the answer is no, the reference network of `albert.model` runs. A new
field of `AlbertConfig`, or a new head, is refused until its name is added here.
"""

from __future__ import annotations

import dataclasses

from albert.config import AlbertConfig, DecoderConfig

# Fields whose every value the fast forms know.
_FIELDS = {
    "vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_hidden_groups", "inner_group_num",
    "num_attention_heads", "intermediate_size", "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob",
    "classifier_dropout_prob", "max_position_embeddings", "type_vocab_size", "pad_token_id", "layer_norm_eps",
    "sharing", "embedding_projection", "pooling",
    # These change no forward pass.
    "initializer_range", "model_type", "id2label", "problem_type", "extra",
}  # fmt: skip
_DECODER = {"decoder_layers", "decoder_groups", "share_with_encoder"}  # of its section, if a form knows the decoder
_WINDOWS = {"attention_window", "global_tokens", "global_question"}  # some forms know them
_HEADS = {
    "masked_lm", "pretraining", "sequence_classification", "token_classification", "span", "multiple_choice",
    "embedding",
}  # fmt: skip
_ACTIVATIONS = {"gelu", "gelu_new", "relu"}


def covers(config: AlbertConfig, head: str | None, *, windows: bool = False, decoder: bool = False) -> bool:
    """Whether a fast form computes this network as the reference does.

    `head` is a name in `HEADS`, None for the encoder alone; `windows` and `decoder` say that the form knows attention
    windows, or the decoder.
    """
    return not unknown(config, head, windows=windows, decoder=decoder)


def unknown(config: AlbertConfig, head: str | None, *, windows: bool = False, decoder: bool = False) -> list[str]:
    """The parts of a network that a fast form does not know, as `name=value`: fields that differ from their defaults,
    and the head.
    """
    known = _FIELDS | _WINDOWS if windows or config.attention_window is None else _FIELDS
    values = _others(config, known | {"decoder"} if decoder else known)
    if decoder and config.decoder is not None:
        values += _others(config.decoder, _DECODER)
    if config.hidden_act not in _ACTIVATIONS:
        values.append(f"hidden_act={config.hidden_act!r}")
    return values if head in {None, *_HEADS} else [*values, f"head={head!r}"]


def _others(section: AlbertConfig | DecoderConfig, known: set[str]) -> list[str]:
    """The fields beyond `known` that differ from their defaults."""
    others = [each for each in dataclasses.fields(section) if each.name not in known]
    values = [(each.name, getattr(section, each.name), each.default) for each in others]
    return [f"{name}={value!r}" for name, value, default in values if value != default]
