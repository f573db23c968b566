"""An index of documents behind the server: read through one connection, by one thread at a time."""

from __future__ import annotations

import threading
from pathlib import Path

from albert.documents import Hit, Index
from albert.documents.index import Status


class Documents:
    """An open index, which follows what `albert index` changes in its file."""

    def __init__(self, path: Path) -> None:
        """Raises `AlbertError` as `Index` does; its model of vectors is loaded now."""
        self.name = path.name
        self._index = Index(path)
        self._turn = threading.Lock()
        _ = self._index.encoder

    def search(self, query: str, top_k: int, path: str | None) -> list[Hit]:
        """The passages that answer a query best. Raises `AlbertError`."""
        with self._turn:
            return self._index.search(query, top_k=top_k, path=path)

    def status(self) -> Status:
        """What it holds. Raises `AlbertError`."""
        with self._turn:
            return self._index.status()
