"""`Index`: documents in one file, kept current, searched and asked."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albert.documents.answers import PASSAGES, THRESHOLD, Answer, read
from albert.documents.extracted import Extracted
from albert.documents.files import extract, files_below
from albert.documents.passages import passages, shown
from albert.documents.rerank import DEPTH as REREAD
from albert.documents.rerank import reranked
from albert.documents.search import DEPTH, Hit, by_vectors, by_words, fused, hits
from albert.documents.store import Store
from albert.documents.vectors import Encoder, Matrix, quantized
from albert.errors import AlbertError, ErrorKind
from albert.predict.predictor import Predictor
from albert.storage.files import sha256

_TOGETHER = 512  # passages of one transaction, so that the encoder has enough to do


@dataclass(frozen=True)
class Added:
    """What `Index.add` did, in files; `problems` names what was skipped and why."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    same: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """What an index holds."""

    files: int
    documents: int
    passages: int
    vectors: str | None
    problems: tuple[str, ...]


class Index:
    """An index of documents in the file `path`, made if it is not there.

    `vectors` is a model folder, hub id or "starter"; None keeps what the file has (a new one: none).
    Raises `AlbertError`: bad-data for a file that is no index, bad-model where its vectors are another model's, locked
    where another process writes, disk.
    """

    def __init__(self, path: str | Path, *, vectors: str | Path | None = None) -> None:
        self.store = Store(Path(path))
        self._encoder: Encoder | None = None
        self._matrix: tuple[object, Matrix] | None = None
        if vectors is not None:
            self._use(Encoder(vectors))

    def close(self) -> None:
        """Ends the connection; the file stays."""
        self.store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- keeping current -------------------------------------------------------------------------------

    def add(self, *places: str | Path, tell: Callable[[Added], None] = lambda _: None) -> Added:
        """Adds new files of these folders or files, reads changed ones again, and removes deleted ones.

        `tell` hears how far it is after every transaction. A file that cannot be read is skipped and named among the
        problems; what the index had of it goes. Raises `AlbertError`.
        """
        done = Added()
        for place in map(Path, places):
            for now in self._add(place, done):
                done = now
                tell(now)
        return done

    def remove(self, path: str) -> int:
        """Removes the files whose name is `path`, or below it, or matches it as a pattern (`*`). Returns how many."""
        path = _readable(path)
        below = path.rstrip("/") + "/"
        with self.store.writing() as connection:
            return connection.execute(
                "DELETE FROM files WHERE path = ? OR substr(path, 1, ?) = ? OR path GLOB ?",
                (path, len(below), below, path),
            ).rowcount

    def status(self) -> Status:
        """What it holds."""
        files, documents, parts = (
            self.store.rows(f"SELECT count(*) FROM {name}")[0][0] for name in ("files", "documents", "passages")
        )
        problems = self.store.rows("SELECT path, problem FROM files WHERE problem IS NOT NULL ORDER BY path")
        lines = tuple(f"{path}: {why}" for path, why in problems)
        return Status(files, documents, parts, self.store.about("vectors"), lines)

    def _add(self, place: Path, done: Added) -> Iterator[Added]:
        root = str(place.resolve())
        known: dict[str, str] = dict(self.store.rows("SELECT path, hash FROM files WHERE root = ?", (root,)))
        files = {self._name(place, file): file for file in files_below(place)}
        if gone := sorted(known.keys() - files.keys()):
            with self.store.writing() as connection:
                connection.executemany("DELETE FROM files WHERE root = ? AND path = ?", [(root, name) for name in gone])
            done = dataclasses.replace(done, removed=done.removed + len(gone))
            yield done
        for group in _grouped(self._read(root, files, known)):
            changed = sum(file.name in known for file in group)
            same = [file for file in group if file.same]
            self._write([file for file in group if not file.same])
            problems = tuple(f"{file.name}: {file.problem}" for file in group if file.problem)
            done = dataclasses.replace(
                done,
                added=done.added + len(group) - changed,
                changed=done.changed + changed - len(same),
                same=done.same + len(same),
                problems=done.problems + problems,
            )
            yield done

    @staticmethod
    def _name(place: Path, file: Path) -> str:
        """What a file is called in the index: its place below the folder that was named, with that folder's name."""
        inside = file.relative_to(place).as_posix()
        name = place.resolve().name
        return name if inside == "." else f"{name}/{inside}"

    def _read(self, root: str, files: dict[str, Path], known: dict[str, str]) -> Iterator[_File]:
        for name, path in files.items():
            found = "not read"
            try:
                found = sha256(path)
                if known.get(name) != found:
                    yield _File(root, name, found, documents=tuple(extract(path)))
                else:
                    yield _File(root, name, found, problem=self._problem(root, name), same=True)
            except (OSError, AlbertError) as error:
                why = _reason(error)
                yield _File(root, name, found, problem=why, same=known.get(name) == found)

    def _problem(self, root: str, name: str) -> str | None:
        """What was wrong with a file when it was read."""
        found = self.store.rows("SELECT problem FROM files WHERE root = ? AND path = ?", (root, name))
        return str(found[0][0]) if found and found[0][0] else None

    def _write(self, group: list[_File]) -> None:
        """Some files, in one transaction."""
        if not group:
            return
        parts = [(document, passages(document)) for file in group for document in file.documents]
        texts = [shown(p.heading or document.title, document.text[p.start : p.end])[0] for document, own in parts
                 for p in own] if self.encoder is not None else []  # fmt: skip
        vectors = iter(self.encoder(texts)) if self.encoder is not None and texts else None
        with self.store.writing() as connection:
            rest = iter(parts)
            for file in group:
                connection.execute("DELETE FROM files WHERE root = ? AND path = ?", (file.root, file.name))
                number = connection.execute(
                    "INSERT INTO files (root, path, hash, problem) VALUES (?, ?, ?, ?)",
                    (file.root, file.name, file.hash, file.problem),
                ).lastrowid
                for _ in file.documents:
                    document, own = next(rest)
                    _insert(connection, number, document, own, vectors)

    # --- searching -------------------------------------------------------------------------------------

    def search(self, query: str, *, top_k: int = 10, path: str | None = None, words: bool = True,
               vectors: bool = True, rerank: Predictor | None = None) -> list[Hit]:  # fmt: skip
        """The passages that answer a query best, by words and, where the index has them, by vectors.

        `path` keeps files whose name matches a pattern such as "policies/*"; the model `rerank` reads the first 20 with
        the query. Raises `AlbertError`: usage, bad-model where that model does not tell how well two texts fit.
        """
        query, path = _readable(query), None if path is None else _readable(path)
        if not 1 <= top_k <= 1000:
            raise AlbertError(ErrorKind.USAGE, "top_k", expected="a whole number from 1 to 1,000", got=str(top_k))
        depth = max(top_k, DEPTH)
        bm25 = by_words(self.store, query, depth, path) if words else {}
        near: dict[int, float] = {}
        if vectors and query.strip() and (encoder := self.encoder) is not None:
            vector = encoder([query])[0]
            near = by_vectors(self.store, self._vectors(), vector, encoder.weight, depth, path, also=bm25)
        count = top_k if rerank is None else max(top_k, REREAD)
        found = hits(self.store, fused(bm25, near, depth, count), bm25)
        return found if rerank is None else reranked(query, found, rerank)[:top_k]

    def ask(
        self, question: str, *, reader: Predictor | None = None, threshold: float = THRESHOLD, passages: int = PASSAGES,
        path: str | None = None, rerank: Predictor | None = None,
    ) -> Answer:  # fmt: skip
        """The answer to a question with its place, or none: see `Answer`.

        `reader` is a model for question answering; without one only a FAQ answers. `rerank` as for `search`.
        Raises `AlbertError` (bad-model) for a model of another task.
        """
        if reader is not None and reader.task.pipeline != "question-answering":
            raise AlbertError(
                ErrorKind.MODEL, f"reader with task {reader.task.name}", expected="a model for question answering",
                hint="albert train SQUAD.json --task qa -o reader",
            )  # fmt: skip
        question = _readable(question)
        found = self.search(question, top_k=passages, path=path, rerank=rerank)
        return read(question, found, reader, threshold=threshold)

    @property
    def encoder(self) -> Encoder | None:
        """What makes the vectors, loaded when it is first wanted; None for an index without."""
        name = self.store.about("vectors")
        if self._encoder is None and name is not None:
            self._use(Encoder(name))
        return self._encoder

    def _use(self, encoder: Encoder) -> None:
        """Sets the encoder, which must be the one that made the stored vectors."""
        name, known = self.store.about("vectors"), self.store.about("vectors_hash")
        if known is not None and known != encoder.fingerprint:
            raise AlbertError(
                ErrorKind.MODEL, f"vectors of {encoder.name}",
                expected=f"those of {name}, with which {self.store.path} was made",
                got=f"another model ({encoder.fingerprint[:12]}, not {known[:12]})",
                hint="make a new index, or name the model that made this one",
            )  # fmt: skip
        if known is None:
            if self.store.rows("SELECT 1 FROM passages LIMIT 1"):
                raise AlbertError(
                    ErrorKind.USAGE, f"vectors of {encoder.name}", expected="a new index, or one with vectors",
                    got=f"{self.store.path}, which was made without", hint="make a new index with --vectors",
                )  # fmt: skip
            with self.store.writing() as connection:
                facts = [("vectors", encoder.name), ("vectors_hash", encoder.fingerprint)]
                connection.executemany("INSERT INTO about VALUES (?, ?)", facts)
        self._encoder = encoder

    def _vectors(self) -> Matrix:
        """All vectors in memory, read anew where somebody wrote."""
        version = self.store.version()
        if self._matrix is None or self._matrix[0] != version:
            rows = self.store.rows("SELECT passage, scale, numbers FROM vectors ORDER BY passage")
            self._matrix = version, Matrix.of(rows)
        return self._matrix[1]


def _readable(text: str) -> str:
    """The text without lone surrogates, which stand for bytes that are not UTF-8. No text in an index has any."""
    return text.encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class _File:
    """A file as it was read now."""

    root: str
    name: str
    hash: str
    documents: tuple[Extracted, ...] = ()
    problem: str | None = None
    same: bool = False


def _reason(error: OSError | AlbertError) -> str:
    """Why a file was skipped, in one line that is no error of its own."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"expected {error.expected}, got {error.got}" if error.expected and error.got else error.what


def _grouped(files: Iterable[_File]) -> Iterator[list[_File]]:
    """Neighbours until they have about as many words as `_TOGETHER` passages."""
    group: list[_File] = []
    words = 0
    for file in files:
        group.append(file)
        words += sum(document.text.count(" ") for document in file.documents)
        if words > _TOGETHER * 100 or len(group) >= _TOGETHER:
            yield group
            group, words = [], 0
    if group:
        yield group


def _insert(connection: sqlite3.Connection, file: int | None, document: Extracted, own: list[Any],
            vectors: Iterator[Any] | None) -> None:  # fmt: skip
    """One document with its passages."""
    number = connection.execute(
        "INSERT INTO documents (file, name, title, text, pages, answer) VALUES (?, ?, ?, ?, ?, ?)",
        (file, document.name, document.title, document.text, json.dumps(document.pages), document.answer),
    ).lastrowid
    for part in own:
        passage = connection.execute(
            'INSERT INTO passages (document, start, "end", heading, text) VALUES (?, ?, ?, ?, ?)',
            (number, part.start, part.end, part.heading or document.title, document.text[part.start : part.end]),
        ).lastrowid
        if vectors is not None:
            connection.execute("INSERT INTO vectors VALUES (?, ?, ?)", (passage, *quantized(next(vectors))))
