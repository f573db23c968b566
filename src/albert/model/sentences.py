"""Folders of sentence-transformers: how they make vectors and scores, as far as ours do the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from albert.errors import AlbertError, ErrorKind
from albert.storage.files import read_vouched
from albert.storage.stored import parse

MODULES = "modules.json"
_SETTINGS = "sentence_bert_config.json"
_MEAN = "pooling_mode_mean_tokens"
_ACTIVATIONS = ("Sigmoid", "Identity")  # of one score


def embeds(folder: Path) -> bool:
    """Whether the folder's encoder was made for vectors of texts."""
    return (folder / MODULES).exists()


def length_limit(folder: Path) -> int | None:
    """How many pieces of a text the folder's model reads, if it says so.

    Raises `AlbertError` (bad-model) unless a text's vector is the mean over its pieces, as ours is.
    """
    if not embeds(folder):
        return None
    for module in _read(folder, MODULES, list):
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind == "Pooling":
            place = Path(str(module.get("path", "")))
            if place.is_absolute() or ".." in place.parts:
                raise _unlike(folder, "a module in it", f"one in {place}")
            pooling = _read(folder, (place / "config.json").as_posix(), dict)
            modes = [mode for mode, chosen in pooling.items() if mode.startswith("pooling_mode_") and chosen is True]
            # Newer versions name the mode in one word.
            if (modes or [pooling.get("pooling_mode", "none")]) not in ([_MEAN], ["mean"]):
                raise _unlike(folder, "the mean over pieces", ", ".join(modes))
        elif kind not in ("Transformer", "Normalize"):
            raise _unlike(folder, "an encoder, the mean over pieces, and perhaps length 1", f"a module {kind}")
    settings = _read(folder, _SETTINGS, dict) if (folder / _SETTINGS).exists() else {}
    length = settings.get("max_seq_length")
    return length if isinstance(length, int) and not isinstance(length, bool) and length > 2 else None


def activation(folder: Path) -> str | None:
    """The function that a cross-encoder's folder applies to its score: "Sigmoid", "Identity", or None if it names none.

    Raises `AlbertError` (bad-model) for another function.
    """
    raw = _read(folder, "config.json", dict)
    told = raw.get("sentence_transformers")
    name = told.get("activation_fn") if isinstance(told, dict) else None
    name = name or raw.get("sbert_ce_default_activation_function")  # before sentence-transformers 4
    if name is None:
        return None
    kind = str(name).rpartition(".")[2]
    if kind not in _ACTIVATIONS:
        raise AlbertError(
            ErrorKind.MODEL, f"{folder}: activation_fn of its score", expected=" or ".join(_ACTIVATIONS), got=str(name),
            hint="start from its encoder with `albert train --init`",
        )  # fmt: skip
    return kind


def _read(folder: Path, name: str, kind: type) -> Any:
    value = parse(read_vouched(folder, name), str(folder / name))
    entries = value if isinstance(value, list) else []
    if not isinstance(value, kind) or not all(isinstance(entry, dict) for entry in entries):
        raise AlbertError(
            ErrorKind.MODEL, str(folder / name), expected=f"a JSON {kind.__name__}", got=f"{value!r:.100}"
        )
    return value


def _unlike(folder: Path, expected: str, got: str) -> AlbertError:
    return AlbertError(
        ErrorKind.MODEL, f"{folder}: vectors of texts", expected=expected, got=got,
        hint="start from its encoder with `albert train --init`",
    )  # fmt: skip
