"""The folder of a run: whether it may be used, and the model that is written into it at the end."""

from __future__ import annotations

from pathlib import Path

from albert.engine.quantized import INT8
from albert.errors import AlbertError, ErrorKind
from albert.files import MANIFEST, write_file, write_manifest
from albert.model import AlbertForTask, save_model
from albert.text.encodings import Tokenizer

# The manifest of a model folder vouches for these; a model card may be edited, the log may grow.
_VOUCHED = (
    "config.json",
    "model.safetensors",
    "exits.safetensors",
    "spiece.model",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
)


def check_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Raises `AlbertError` (usage) when the folder holds a run and neither switch says what to do with it."""
    if out.exists() and not out.is_dir():
        raise AlbertError(ErrorKind.USAGE, str(out), expected="a folder", got="a file")
    if resume or overwrite or not out.is_dir():
        return
    used = [name for name in ("config.json", "checkpoints", "metrics.jsonl") if (out / name).exists()]
    if used:
        raise AlbertError(
            ErrorKind.USAGE,
            f"{out} holds a run already",
            got=", ".join(used),
            hint="go on with it by --resume, replace it by --overwrite, or choose another folder",
        )


def write_model_folder(out: Path, model: AlbertForTask, tokenizer: Tokenizer, card: str) -> None:
    """Writes the files of a model folder, each whole or absent; the manifest last."""
    for stale in (MANIFEST, INT8):
        (out / stale).unlink(missing_ok=True)
    save_model(model, out)
    tokenizer.save(out)
    write_file(out / "README.md", card)
    write_manifest(out, [name for name in _VOUCHED if (out / name).exists()])
