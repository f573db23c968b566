"""A prepared corpus: memory-mapped pieces with the bounds of sentences and documents, hashed block by block.

A folder holds the vocabulary, `manifest.json` and three arrays per shard:

- NAME.tokens.npy: uint16 piece ids
- NAME.sentences.npy: uint32, the start of each sentence in the tokens, and the end
- NAME.documents.npy: uint32, the start of each document in the sentences, and the end
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from albert.config import UNK_ID
from albert.errors import AlbertError, ErrorKind
from albert.storage.files import MANIFEST, write_file
from albert.storage.stored import read_object, read_plain, typed

FORMAT = 1
PARTS = {"tokens": np.uint16, "sentences": np.uint32, "documents": np.uint32}
# How text is normalised: our name, and the name in tokenizer_config.json with its default.
_READ_AS = {
    "lower": ("do_lower_case", True), "keep_accents": ("keep_accents", False), "quotes": ("albert_quotes", False),
}  # fmt: skip
_BLOCK = 1 << 20  # bytes per hash, so that a fault is located within a MiB


@dataclass(frozen=True)
class ShardFile:
    """One array file: its size in bytes, and the first 16 hexadecimal digits of each MiB's SHA-256."""

    size: int
    blocks: list[str]


@dataclass(frozen=True)
class ShardInfo:
    """A shard's entry in the manifest. `source` is the file it was made from. `unknown` counts <unk>.

    `longest` is the number of tokens of the longest document. `read` counts the bytes of text. `duplicates` and `empty`
    count the documents left out, `divided` those that were longer than a chunk.
    """

    name: str
    source: str
    documents: int
    sentences: int
    tokens: int
    unknown: int
    files: dict[str, ShardFile]
    longest: int = 0
    read: int = 0
    duplicates: int = 0
    empty: int = 0
    divided: int = 0

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or self.files.keys() != PARTS.keys():
            raise AlbertError(
                ErrorKind.DATA, f"shard {self.name!r:.80}", expected="a file for each of " + ", ".join(PARTS),
                got=", ".join(self.files) or "none",
            )  # fmt: skip

    @classmethod
    def from_dict(cls, raw: Any, source: str) -> ShardInfo:
        """An entry of a manifest or sidecar. Raises `AlbertError` (bad-data) for anything else."""
        return typed(cls, raw, source, kind=ErrorKind.DATA)


@dataclass(frozen=True)
class Shard:
    """One shard's arrays, mapped read-only."""

    name: str
    tokens: np.ndarray  # [tokens] uint16
    sentences: np.ndarray  # [sentences + 1] uint32
    documents: np.ndarray  # [documents + 1] uint32


@dataclass(frozen=True)
class Corpus:
    """An open prepared corpus: its shards in the order of the manifest."""

    folder: Path
    shards: list[Shard]
    manifest: dict[str, Any]

    def fingerprint(self) -> str:
        """The SHA-256 of the manifest, which shows whether a resumed run has the same corpus."""
        return hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode()).hexdigest()


def write_shard(
    folder: Path,
    name: str,
    documents: Sequence[Sequence[np.ndarray]],
    *,
    source: str,
    read: int = 0,
    duplicates: int = 0,
    empty: int = 0,
    divided: int = 0,
) -> ShardInfo:
    """Writes documents (lists of sentences of piece ids) as one shard. Each file is whole or absent."""
    sentences = [sentence for document in documents for sentence in document]
    arrays = {
        "tokens": np.concatenate(sentences) if sentences else np.zeros(0),
        "sentences": np.cumsum([0, *map(len, sentences)]),
        "documents": np.cumsum([0, *map(len, documents)]),
    }
    files = {}
    for part, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array.astype(PARTS[part]))
        data = buffer.getvalue()
        write_file(folder / f"{name}.{part}.npy", data)
        files[part] = ShardFile(len(data), _block_hashes(data))
    return ShardInfo(
        name,
        source,
        documents=len(documents),
        sentences=len(sentences),
        tokens=int(arrays["sentences"][-1]),
        unknown=int((arrays["tokens"] == UNK_ID).sum()),
        longest=int(np.diff(arrays["sentences"][arrays["documents"]]).max(initial=0)),
        files=files,
        read=read,
        duplicates=duplicates,
        empty=empty,
        divided=divided,
    )


def shard_dict(info: ShardInfo) -> dict[str, Any]:
    """A shard's entry in the manifest."""
    return asdict(info)


def open_corpus(folder: Path) -> Corpus:
    """Opens a prepared corpus and checks every block of it against the manifest.

    Raises `AlbertError` (bad-data): no manifest, another format, another vocabulary, or a shard that is missing, cut
    or damaged, with its name and the byte offset.
    """
    manifest = read_manifest(folder)
    shards = [ShardInfo.from_dict(entry, str(folder / MANIFEST)) for entry in manifest["shards"]]
    _require_vocabulary(folder, manifest)
    return Corpus(folder, [open_shard(folder, info) for info in shards], manifest)


@dataclass(frozen=True)
class _Totals:
    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    unknown: int = 0
    read: int = 0
    duplicates: int = 0
    empty: int = 0
    divided: int = 0
    longest: int = 0


@dataclass(frozen=True)
class _Manifest:
    shards: list[ShardInfo]
    format: int
    settings: dict[str, Any] | None = None
    totals: _Totals | None = None


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a prepared corpus. Raises `AlbertError` (bad-data) if it is missing or of another kind."""
    path = folder / MANIFEST
    try:
        raw = read_object(path, kind=ErrorKind.DATA)
        found = typed(_Manifest, raw, str(path), kind=ErrorKind.DATA)
    except AlbertError as error:
        raise AlbertError(
            ErrorKind.DATA,
            f"{folder} is no prepared corpus",
            expected=f"a {MANIFEST} of `albert prepare`",
            got=f"{error.what}: {error.got}",
            hint="prepare it with `albert prepare corpus/ -o shards/`; a killed one goes on when repeated",
        ) from None
    if found.format != FORMAT:
        raise AlbertError(ErrorKind.DATA, str(path), expected=f"format {FORMAT}", got=str(found.format))
    return raw


def _require_vocabulary(folder: Path, manifest: dict[str, Any]) -> None:
    """Raises `AlbertError` (bad-data) unless the vocabulary is that of the corpus and normalises
    text in the same way.
    """
    settings, found = manifest.get("settings") or {}, dict[str, Any]()
    if "vocabulary" not in settings:
        return
    raw = read_plain(folder / "spiece.model", kind=ErrorKind.DATA)
    found["vocabulary"] = hashlib.sha256(raw).hexdigest()
    told = read_object(folder / "tokenizer_config.json", kind=ErrorKind.DATA)
    found |= {ours: bool(told.get(theirs, other)) for ours, (theirs, other) in _READ_AS.items() if ours in settings}
    if other := [name for name, value in found.items() if value != settings[name]]:
        raise AlbertError(
            ErrorKind.DATA, f"{folder}: its tokenizer", expected="that which the corpus was made with",
            got=f"another {other[0]}", hint="repeat `albert prepare` with the same arguments",
        )  # fmt: skip


def intact(folder: Path, info: ShardInfo) -> bool:
    """Whether all files of a shard match its entry."""
    return all(_fault(_path(folder, info.name, part), entry) is None for part, entry in info.files.items())


def open_shard(folder: Path, info: ShardInfo) -> Shard:
    """Opens one shard and checks every block of it. Raises `AlbertError` (bad-data) as `open_corpus`."""
    arrays = {}
    for part, dtype in PARTS.items():
        path = _path(folder, info.name, part)
        if fault := _fault(path, info.files[part]):
            raise AlbertError(
                ErrorKind.DATA,
                f"corpus shard {path}",
                expected="what its manifest says",
                got=fault,
                hint="repeat `albert prepare` with the same arguments: it makes damaged shards anew",
            )
        arrays[part] = np.load(path, mmap_mode="r", allow_pickle=False)
        assert arrays[part].dtype == dtype, f"{path} holds {arrays[part].dtype}"
    return Shard(info.name, **arrays)


def _fault(path: Path, entry: ShardFile) -> str | None:
    """The first difference between a file and its entry, in words."""
    if not os.path.isfile(path):  # a name may be too long
        return "no such file"
    if path.stat().st_size != entry.size:
        return f"{path.stat().st_size:,} bytes instead of {entry.size:,}"
    if len(entry.blocks) != math.ceil(entry.size / _BLOCK):
        return f"{len(entry.blocks):,} hashes in the manifest"
    with path.open("rb") as file:
        for index, expected in enumerate(entry.blocks):
            if _hash(file.read(_BLOCK)) != expected:
                return f"other content in the MiB from byte {index * _BLOCK:,}"
    return None


def _block_hashes(data: bytes) -> list[str]:
    return [_hash(data[start : start + _BLOCK]) for start in range(0, len(data), _BLOCK)]


def _hash(block: bytes) -> str:
    return hashlib.sha256(block).hexdigest()[:16]


def _path(folder: Path, name: str, part: str) -> Path:
    return folder / f"{name}.{part}.npy"
