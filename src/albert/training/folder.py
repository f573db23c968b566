"""The folder of a run: whether it may be used, and the model that is written into it at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, AlbertForText2Text, save_model
from albert.storage.files import write_file
from albert.storage.replacing import NEXT, new_files
from albert.text.encodings import Tokenizer
from albert.training.state import Checkpoints


def check_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Raises `AlbertError` (usage) if the folder holds a run and neither `resume` nor `overwrite` is set."""
    if out.exists() and not out.is_dir():
        raise AlbertError(ErrorKind.USAGE, str(out), expected="a folder", got="a file")
    if resume or overwrite or not out.is_dir():
        return
    used = [name for name in ("config.json", NEXT, "checkpoints", "metrics.jsonl") if (out / name).exists()]
    if used:
        raise AlbertError(
            ErrorKind.USAGE,
            f"{out} holds a run already",
            got=", ".join(used),
            hint="go on with it by --resume, replace it by --overwrite, or choose another folder",
        )


def clear_run(out: Path) -> None:
    """Removes the checkpoints and the log of an earlier run."""
    Checkpoints(out / "checkpoints").clear()
    (out / "metrics.jsonl").unlink(missing_ok=True)


def write_model_folder(
    out: Path, model: AlbertForTask | AlbertForText2Text, tokenizer: Tokenizer, card: str, *beside: tuple[str, bytes]
) -> None:
    """Writes all files of a model folder, with those of `beside`. They replace an earlier model at once."""
    with new_files(out) as staged:
        save_model(model, staged)
        tokenizer.save(staged)
        write_file(staged / "README.md", card)
        for name, data in beside:
            write_file(staged / name, data)


def thread_note(numbers: Sequence[int]) -> str:
    """A sentence for a run that used several numbers of threads: no single number reproduces its weights."""
    return f" with {', then '.join(map(str, numbers))} threads" if len(numbers) > 1 else ""
