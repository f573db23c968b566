"""Where a fine-tuning starts: the tokenizer, and what a checkpoint or a network from scratch allows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from albert.config import AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.dataset import FinetuneConfig
from albert.model.folder import ModelFolder
from albert.text.encodings import Tokenizer
from albert.text.open import open_tokenizer
from albert.text.tokenizer import AlbertTokenizer

# Settings of a network whose weights have them as their sizes.
_SHAPES = {
    "embedding_size", "hidden_size", "intermediate_size", "num_hidden_groups", "inner_group_num",
    "max_position_embeddings", "type_vocab_size", "sharing", "embedding_projection", "model_type", "pad_token_id",
}  # fmt: skip


def starting_tokenizer(config: FinetuneConfig, start: ModelFolder | None) -> Tokenizer:
    """That of the checkpoint, else of the folder that was asked for, else our English one."""
    if start is not None:
        return open_tokenizer(start.path, config=start.config)
    return open_tokenizer(config.tokenizer) if config.tokenizer else AlbertTokenizer.english()


def require_same_sizes(start: ModelFolder, settings: Iterable[str]) -> None:
    """Raises `AlbertError` (bad-config) if one of the settings would change a size of the checkpoint's weights."""
    if fixed := sorted(_SHAPES.intersection(settings)):
        raise AlbertError(
            ErrorKind.CONFIG,
            f"{', '.join(fixed)} of {start.name}",
            expected="the sizes that its weights have",
            hint="leave the setting out, or train from scratch with --size",
        )


def require_token_types(config: AlbertConfig, types: np.ndarray) -> None:
    """Raises `AlbertError` (bad-config) for pairs and marks of capitals if the network has one token type."""
    if config.type_vocab_size < 2 and types.any():
        raise AlbertError(
            ErrorKind.CONFIG,
            "pairs of texts, or marks of capitals",
            expected="a network with two token types",
            got="type_vocab_size 1",
            hint="--set case_marks=off leaves the marks out",
        )
