"""From files to shards: documents, chunks of consecutive documents, and the function that makes a shard of a chunk.

A chunk's content depends only on the files and the settings, never on workers or earlier calls.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import sentencex

from albert.corpus.reading import paragraphs
from albert.corpus.shards import ShardInfo, shard_dict, write_shard
from albert.storage.files import write_json
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import break_at_spaces

_NEWLINE = b"\n"


@dataclass(frozen=True)
class Cut:
    """How text is cut: its column or key, the language of its sentences, and the bytes of a chunk."""

    column: str
    language: str
    chunk_bytes: int


@dataclass(frozen=True)
class Document:
    """A document's paragraphs as UTF-8, separated by newlines. `part` numbers the parts of a divided document."""

    text: bytes
    part: int = 0


@dataclass
class Chunk:
    """Consecutive documents of one file, without those left out. `read` counts the bytes of all documents."""

    name: str
    source: str
    documents: list[bytes] = field(default_factory=list)
    read: int = 0
    duplicates: int = 0
    empty: int = 0
    divided: int = 0

    def add(self, document: Document, *, new: bool) -> None:
        """Adds a document, unless it is a duplicate or empty."""
        self.read += len(document.text)
        self.divided += document.part == 1
        if not document.text:
            self.empty += 1
        elif new:
            self.documents.append(document.text)
        else:
            self.duplicates += 1


class Seen:
    """The hashes of earlier documents, in a file, so that memory does not grow with their number."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".tmp-seen.sqlite"
        self._path.unlink(missing_ok=True)  # left by a killed call, or a link to a file that is not ours
        self._database = sqlite3.connect(self._path, isolation_level=None)
        # Every job makes it anew, so nothing must survive a crash: one transaction that never commits.
        for line in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -65536"):
            self._database.execute(f"PRAGMA {line}")
        self._database.execute("CREATE TABLE seen (hash BLOB PRIMARY KEY) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._path.unlink()

    def add(self, text: bytes) -> bool:
        """Whether the text is new. Raises `sqlite3.OperationalError` when the disk is full."""
        digest = hashlib.blake2b(text, digest_size=16).digest()
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,)).rowcount == 1


def read_documents(path: Path, cut: Cut) -> Iterator[Document]:
    """The documents of a file. One longer than a chunk is divided at a sentence's end. Raises `AlbertError`."""
    held: list[bytes] = []
    size = part = 0
    for _, paragraph in paragraphs(path, column=cut.column):
        if paragraph is None:
            yield Document(_NEWLINE.join(held), part)
            held, size, part = [], 0, 0
            continue
        for text in _pieces(paragraph, cut):
            if held and size + len(text) > cut.chunk_bytes:
                yield Document(_NEWLINE.join(held), part)
                held, size, part = [], 0, part + 1
            held.append(text)
            size += len(text) + 1


def read_chunks(number: int, path: Path, source: str, cut: Cut, seen: Seen | None = None) -> Iterator[Chunk]:
    """The chunks of the input file with this number: documents up to the size of a chunk, at least one."""
    count = 0
    chunk = Chunk(f"{number:05d}-{count:05d}", source)
    for document in read_documents(path, cut):
        if chunk.read and chunk.read + len(document.text) > cut.chunk_bytes:
            yield chunk
            count += 1
            chunk = Chunk(f"{number:05d}-{count:05d}", source)
        chunk.add(document, new=seen is None or not document.text or seen.add(document.text))
    if chunk.read or chunk.empty:
        yield chunk


def make_shard(chunk: Chunk, folder: Path, language: str) -> ShardInfo:
    """Writes a chunk as a shard of the folder, tokenised with the folder's vocabulary. Its sidecar file is written
    last.
    """
    tokenizer = _tokenizer(folder)
    documents = [_tokenize(text.decode(), tokenizer, language) for text in chunk.documents]
    kept = [document for document in documents if document]
    info = write_shard(
        folder,
        chunk.name,
        kept,
        source=chunk.source,
        read=chunk.read,
        duplicates=chunk.duplicates,
        empty=chunk.empty + len(documents) - len(kept),
        divided=chunk.divided,
    )
    write_json(sidecar(folder, chunk.name), shard_dict(info))
    return info


def sidecar(folder: Path, name: str) -> Path:
    """The path of a finished shard's entry until the manifest is written."""
    return folder / f"{name}.json"


def sentences(text: str, language: str) -> list[str]:
    """The sentences of all paragraphs, stripped and never empty. A newline always ends a sentence."""
    parts = (part for paragraph in text.split("\n") for part in sentencex.segment(language, paragraph))
    return [sentence for part in parts if (sentence := part.strip())]


def _tokenize(text: str, tokenizer: AlbertTokenizer, language: str) -> list[np.ndarray]:
    return [ids for ids in tokenizer.ids(sentences(text, language)) if len(ids)]


def _pieces(paragraph: str, cut: Cut) -> Iterable[bytes]:
    """The paragraph, or its parts if it is longer than a chunk."""
    raw = paragraph.encode()
    if len(raw) <= cut.chunk_bytes:
        return [raw]
    limit = cut.chunk_bytes // 4  # characters, of at most four bytes each
    found = sentences(paragraph, cut.language)
    return [piece.encode() for sentence in found for piece in break_at_spaces(sentence, limit)]


@cache
def _tokenizer(folder: Path) -> AlbertTokenizer:
    """The folder's tokenizer, loaded once per process."""
    return AlbertTokenizer.from_pretrained(folder)
