"""The one gate of the fast forms: which networks they compute exactly as the reference does.

Every fast form asks here before it runs: the packed forward pass with its kernels, int8 and early exit, the step of
training on a CPU, the encoder over full rows. If the answer is no, the reference network of `albert.model` runs. A new
field of `AlbertConfig`, or a new head, is refused until its name is added here.
"""

from __future__ import annotations

import dataclasses

from albert.config import AlbertConfig

# Fields whose every value the fast forms know.
_FIELDS = {
    "vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_hidden_groups", "inner_group_num",
    "num_attention_heads", "intermediate_size", "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob",
    "classifier_dropout_prob", "max_position_embeddings", "type_vocab_size", "pad_token_id", "layer_norm_eps",
    "sharing", "embedding_projection", "pooling",
    # These change no forward pass.
    "initializer_range", "model_type", "id2label", "problem_type", "extra",
}  # fmt: skip
_WINDOWS = {"attention_window", "global_tokens", "global_question"}  # some forms know them
_HEADS = {
    "masked_lm", "pretraining", "sequence_classification", "token_classification", "span", "multiple_choice",
    "embedding",
}  # fmt: skip
_ACTIVATIONS = {"gelu", "gelu_new", "relu"}


def covers(config: AlbertConfig, head: str | None, *, windows: bool = False) -> bool:
    """Whether a fast form computes this network as the reference does.

    `head` is a name in `HEADS`, None for the encoder alone; `windows` says that the form knows attention windows.
    """
    return not unknown(config, head, windows=windows)


def unknown(config: AlbertConfig, head: str | None, *, windows: bool = False) -> list[str]:
    """The parts of a network that a fast form does not know, as `name=value`: fields that differ from their defaults,
    and the head.
    """
    known = _FIELDS | _WINDOWS if windows or config.attention_window is None else _FIELDS
    others = [each for each in dataclasses.fields(config) if each.name not in known]
    values = [f"{each.name}={getattr(config, each.name)!r}" for each in others
              if getattr(config, each.name) != each.default]  # fmt: skip
    if config.hidden_act not in _ACTIVATIONS:
        values.append(f"hidden_act={config.hidden_act!r}")
    return values if head in {None, *_HEADS} else [*values, f"head={head!r}"]
