"""Models that read longer texts: more positions, and attention through windows (Beltagy et al. 2020, section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from albert.errors import AlbertError, ErrorKind
from albert.export.writing import load_whole, require_new, write_form
from albert.model import AlbertForTask
from albert.model.folder import ModelFolder
from albert.storage.files import disk_errors
from albert.storage.locks import output_lock
from albert.text.open import open_tokenizer


@dataclass(frozen=True)
class Lengthened:
    """The folder that was written, and its number of positions before and now."""

    path: Path
    before: int
    now: int


def lengthen(
    name: str | Path,
    out: str | Path,
    *,
    to: int,
    window: int = 256,
    global_tokens: int = 1,
    global_question: bool = True,
) -> Lengthened:
    """Writes the model of a folder or hub id with `to` positions into the new folder `out`.

    The learned positions are repeated until there are `to`. A piece reads the `window` pieces around it and the global
    ones (`AlbertConfig.attention_window`). Fine-tune the result, or pre-train it on long rows first.

    Raises `AlbertError`: usage for a folder in use or for no more positions than before, bad-config for an invalid
    window, bad-model for a model with early exit.
    """
    folder, path = ModelFolder.open(name), Path(out)
    before = folder.config.max_position_embeddings
    if to <= before:
        raise AlbertError(
            ErrorKind.USAGE,
            "--to",
            expected=f"more than the {before:,} positions that {folder.name} has",
            got=f"{to:,}",
        )
    config = folder.config.with_(
        max_position_embeddings=to,
        attention_window=window,
        global_tokens=global_tokens,
        global_question=global_question,
    )
    with disk_errors(path), output_lock(path):
        require_new(path)
        model, tokenizer = load_whole(folder), open_tokenizer(folder.path, config=folder.config)
        encoder = model.albert if isinstance(model, AlbertForTask) else model
        if isinstance(model, AlbertForTask) and model.exits is not None:
            raise AlbertError(
                ErrorKind.MODEL, f"{folder.name}: attention windows", expected="a model without early exit",
                got="heads behind every depth",
            )  # fmt: skip
        table = encoder.embeddings.position.weight.detach()
        longer = table[torch.arange(to) % before]
        encoder.embeddings.position = nn.Embedding.from_pretrained(longer, freeze=False)
        if tokenizer.case_marks:  # types are those of capitals, not of a question and a text
            config = config.with_(global_question=False)
        model.config = encoder.config = config.with_(id2label=model.config.id2label)
        tokenizer.max_length = to
        write_form(model, tokenizer, folder.path, path)
    return Lengthened(path, before, to)
