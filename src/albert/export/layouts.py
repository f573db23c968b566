"""Models in the other layout of their weights, ALBERT's or BERT's, or in another number format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from albert.config import AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.export.writing import load_whole, require_new, write_form
from albert.model import AlbertForTask, AlbertModel
from albert.model.folder import ModelFolder
from albert.model.names import FAMILIES
from albert.storage.files import disk_errors
from albert.storage.locks import output_lock
from albert.text.open import open_tokenizer

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Converted:
    """The folder that was written, transformers' class for it, and its number format."""

    path: Path
    architecture: str
    dtype: str


def convert(name: str | Path, out: str | Path, *, to: str | None = None, dtype: str = "float32") -> Converted:
    """Writes the model of a folder or hub id into the new folder `out`, with its tokenizer and card.

    `to` is the layout, "albert" or "bert"; None keeps it. BERT's layout has every layer separately. Raises
    `AlbertError`: usage for another layout or format, or a folder in use; bad-model if BERT has no place for a part.
    """
    with disk_errors(out), output_lock(Path(out)):
        return _convert(ModelFolder.open(name), Path(out), to=to, dtype=dtype)


def _convert(opened: ModelFolder, out: Path, *, to: str | None, dtype: str) -> Converted:
    for option, value, known in (("--to", to or "bert", FAMILIES), ("--dtype", dtype, _DTYPES)):
        if value not in known:
            raise AlbertError(ErrorKind.USAGE, option, expected=" or ".join(known), got=repr(value))
    require_new(out)
    folder, head = opened.path, opened.head
    tokenizer = open_tokenizer(folder, config=opened.config)
    model = load_whole(opened)
    config = model.config
    if to is not None and to != config.model_type:
        model = _written_out(model, _bert(config, folder)) if to == "bert" else model
        model.config = config = model.config.with_(model_type=to)
    write_form(model, tokenizer, folder, out, _DTYPES[dtype])
    family = FAMILIES[config.model_type]
    return Converted(out, family.architecture(None if head == "embedding" else head), dtype)


def _bert(config: AlbertConfig, folder: Path) -> AlbertConfig:
    """The same network in BERT's form: each layer is a group of its own."""
    if config.embedding_projection:
        raise AlbertError(
            ErrorKind.MODEL,
            f"{folder}: layout bert",
            expected="a network without a mapping from its embeddings to its layers",
            got=f"embeddings of size {config.embedding_size}, normalised and then mapped to {config.hidden_size}",
            hint="BERT has no such mapping: keep the layout of ALBERT, which transformers reads, too",
        )
    layers = config.num_hidden_layers * config.inner_group_num
    return config.with_(sharing="none", num_hidden_layers=layers, num_hidden_groups=layers, inner_group_num=1)


def _written_out(model: AlbertForTask | AlbertModel, config: AlbertConfig) -> AlbertForTask | AlbertModel:
    """The model with a separate block for every depth."""
    encoder = model.albert if isinstance(model, AlbertForTask) else model
    made = AlbertModel(config, pooler=encoder.pooler is not None)
    made.embeddings.load_state_dict(encoder.embeddings.state_dict())
    for group, layer in zip(made.encoder.groups, encoder.encoder.layers(), strict=True):
        group[0].load_state_dict(layer.state_dict())  # type: ignore[index]
    if encoder.pooler is not None and made.pooler is not None:
        made.pooler.load_state_dict(encoder.pooler.state_dict())
    if not isinstance(model, AlbertForTask):
        return made
    if model.exits is not None:
        raise AlbertError(
            ErrorKind.MODEL, "layout bert", expected="a model without early exit", got="heads behind every depth"
        )
    whole = AlbertForTask(config, model.head_name)
    whole.albert = made
    whole.head.load_state_dict(model.head.state_dict())
    return whole
