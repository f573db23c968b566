"""From the name a user gives to a folder on disk: a path, the starter, or a hub id (the only way to the network)."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from albert.errors import AlbertError, ErrorKind
from albert.files import MANIFEST
from albert.replacing import current_files

STARTER = "starter"  # the pre-trained model that the package ships
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LEGACY_ID = re.compile(r"albert-(base|large|xlarge|xxlarge)-v[12]")  # from before ids had owners
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


def model_folder(name: str | Path) -> Path:
    """The folder of a model: `name` itself, our own for "starter", or the local snapshot of a hub id ("owner/name").

    Environment: HF_HOME, HF_HUB_OFFLINE and HF_TOKEN, as huggingface_hub reads them.
    Raises `AlbertError` (bad-model) when there is neither.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return current_files(path)
    text = str(name)
    if text == STARTER:
        return Path(str(resources.files("albert") / "assets" / STARTER))
    if path.exists() or not (_HUB_ID.fullmatch(text) or _LEGACY_ID.fullmatch(text)) or ".." in text:
        raise AlbertError(
            ErrorKind.MODEL,
            f"model {text!r}",
            expected="a folder, or a hub id of the form owner/name",
            got="a file" if path.exists() else "no such folder",
        )
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
