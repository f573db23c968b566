"""From a model's name to a folder: a path, a model of the package, or a hub id (the only use of the network)."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from importlib import resources
from pathlib import Path

from albert.errors import AlbertError, ErrorKind
from albert.storage.files import MANIFEST
from albert.storage.replacing import current_files

STARTER, READER = "starter", "reader"  # what the package ships: a pre-trained model, and one that answers questions
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LEGACY_ID = re.compile(r"albert-(base|large|xlarge|xxlarge)-v[12]")  # ids from before ids had owners
_FILES = [
    "config.json",
    MANIFEST,
    "*.safetensors",
    "*.safetensors.index.json",
    "spiece.model",
    "tokenizer*.json",
    "vocab.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "sentence_bert_config.json",
    "*_Pooling/config.json",
    "*.md",
]


def model_files(name: str | Path) -> list[Path]:
    """The files of a model in a local folder, which no output may replace. None for a model of the hub."""
    folder = Path(os.path.expanduser(name))
    if not os.path.isdir(folder):
        return []
    return sorted({path for pattern in _FILES if not pattern.endswith(".md") for path in folder.glob(pattern)})


def model_folder(name: str | Path) -> Path:
    """The folder of a model: `name` itself, our own for "starter" or "reader", or the local snapshot of a hub id.

    A hub id has the form "owner/name".

    Environment: HF_HOME, HF_HUB_OFFLINE and HF_TOKEN, as huggingface_hub reads them. Raises `AlbertError` (bad-model)
    if none of them exists.
    """
    path = Path(os.path.expanduser(name))
    if str(name) and os.path.isdir(path):  # unlike Path's methods, it raises no error for an impossible name
        return current_files(path)
    text = str(name)
    if text in (STARTER, READER):
        return Path(str(resources.files("albert") / "assets" / text))
    if not _is_hub_id(text, path):
        raise _missing(text, path)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(text, allow_patterns=_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise AlbertError(
            ErrorKind.MODEL,
            f"model {text!r} is no folder here and could not be fetched from the hub",
            got=str(error).strip().splitlines()[0][:200],
            hint="check the name and the connection (HF_HUB_OFFLINE, HF_TOKEN), or give a local folder",
        ) from error


def _is_hub_id(text: str, path: Path) -> bool:
    """Whether a name is a hub id. A name within a folder that exists here is a mistyped path, never an id."""
    if os.path.exists(path) or ".." in text:
        return False
    return bool(_LEGACY_ID.fullmatch(text) or (_HUB_ID.fullmatch(text) and not os.path.exists(path.parent)))


def _missing(text: str, path: Path) -> AlbertError:
    here, beside = os.path.isdir(path.parent), list[str]()
    with contextlib.suppress(OSError):
        beside = [entry.name for entry in os.scandir(path.parent) if entry.is_dir()]
    near = difflib.get_close_matches(path.name, beside, n=1)
    hint = f"did you mean {str(path.with_name(near[0]))!r}?" if near else None
    if hint is None and here and _HUB_ID.fullmatch(text):
        hint = f"{path.parent}/ exists, so this is read as a path; for a model of the hub: hf download {text}"
    return AlbertError(
        ErrorKind.MODEL,
        f"model {text!r}",
        expected="a folder, or a hub id of the form owner/name",
        got=("a file" if os.path.exists(path) else "no such folder") if text else "an empty name",
        hint=hint,
    )
