"""Writes a model in another form into a new folder, with its tokenizer and the files beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, AlbertModel, load_encoder, load_model, save_model
from albert.model.folder import ModelFolder
from albert.model.names import FAMILIES
from albert.predict.predictor import Predictor
from albert.storage.files import LINEAR, TMP, write_json
from albert.storage.locks import run_lock
from albert.storage.replacing import NEXT, new_files, settle
from albert.text.encodings import Tokenizer

# Files that are copied unchanged: the card, the linear model on words, and those of sentence-transformers.
_BESIDE = ("README.md", LINEAR, "modules.json", "*sentence_*.json", "*_Pooling/config.json")


def require_new(out: Path) -> None:
    """Raises `AlbertError` (usage) for a folder with files in it. First finishes what a killed writer left there."""
    if (out / NEXT).is_dir():
        with run_lock(out):
            settle(out)
    if out.exists() and (not out.is_dir() or any(not path.name.startswith((TMP, ".lock")) for path in out.iterdir())):
        raise AlbertError(ErrorKind.USAGE, str(out), expected="a new or empty folder", got="one with files in it")


def load_whole(folder: ModelFolder) -> AlbertForTask | AlbertModel:
    """The model with all its weights. An encoder alone keeps its pooler, although no head reads it."""
    return load_encoder(folder) if folder.head == "embedding" else load_model(folder)


def write_settings(out: Path, folder: ModelFolder, predictor: Predictor) -> None:
    """Writes the config and the tokenizer, as transformers reads them, without weights."""
    architecture = FAMILIES[predictor.config.model_type].architecture(folder.head)
    config = predictor.config.to_dict(architecture=architecture, labelled=predictor.model.head.labelled)
    write_json(out / "config.json", config)
    predictor.tokenizer.save(out)


def write_form(
    model: AlbertForTask | AlbertModel,
    tokenizer: Tokenizer,
    source: Path,
    out: Path,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Writes the model with its tokenizer into `out`, and copies the files beside it from `source`."""
    with run_lock(out), new_files(out) as staged:
        save_model(model, staged, dtype=dtype)
        tokenizer.save(staged)
        for path in (found for pattern in _BESIDE for found in source.glob(pattern) if found.is_file()):
            target = staged / path.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
