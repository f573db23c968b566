"""The SQLite file behind an index: files, documents, passages, their words (FTS5) and their vectors.

What belongs together is written in one transaction, so a kill at any moment leaves the index as it was before or after
it. One process writes at a time; readers are never kept waiting (write-ahead log).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from albert.errors import AlbertError, ErrorKind
from albert.storage.files import disk_errors

VERSION = 1
_WAIT = 5.0  # seconds for another writer
_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE files (
    id INTEGER PRIMARY KEY, root TEXT NOT NULL, path TEXT NOT NULL, hash TEXT NOT NULL, problem TEXT,
    UNIQUE (root, path)
);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
    name TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, pages TEXT NOT NULL, answer TEXT
);
CREATE INDEX documents_of_file ON documents (file);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX passages_of_document ON passages (document);
CREATE TABLE vectors (
    passage INTEGER PRIMARY KEY REFERENCES passages ON DELETE CASCADE, scale REAL NOT NULL, numbers BLOB NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5 (
    heading, text, content = 'passages', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER passage_added AFTER INSERT ON passages BEGIN
    INSERT INTO words (rowid, heading, text) VALUES (new.id, new.heading, new.text);
END;
CREATE TRIGGER passage_removed AFTER DELETE ON passages BEGIN
    INSERT INTO words (words, rowid, heading, text) VALUES ('delete', old.id, old.heading, old.text);
END;
"""


class Store:
    """An open index file. Raises `AlbertError`: bad-data for what is none, locked for a second writer, disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir():
            raise AlbertError(ErrorKind.DATA, str(path), expected="an index file", got="a folder")
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self.errors():
            self.connection = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
            self.connection.execute("PRAGMA foreign_keys = ON")
            self._prepare()

    def close(self) -> None:
        """Ends the connection; the file stays."""
        self.connection.close()

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self.errors():
            return self.connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is kept, or nothing."""
        with self.errors():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    def about(self, name: str) -> str | None:
        """A fact about the index, such as the model of its vectors."""
        found = self.rows("SELECT value FROM about WHERE name = ?", (name,))
        return str(found[0][0]) if found else None

    def version(self) -> object:
        """A value that changes whenever this connection or another one has written."""
        (seen,), (own,) = self.rows("PRAGMA data_version"), [(self.connection.total_changes,)]
        return seen[0], own

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turns SQLite's errors into `AlbertError`."""
        try:
            with disk_errors(self.path):
                yield
        except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged text is not UTF-8
            raise _told(self.path, error) from error

    def _prepare(self) -> None:
        """Makes the tables of a new file. Raises `AlbertError` (bad-data) for another program's file."""
        if not self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self.connection.execute("PRAGMA journal_mode = WAL")
            with self.writing() as connection:
                if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:  # nobody was faster
                    for statement in _statements(_TABLES):
                        connection.execute(statement)
                    connection.execute("INSERT INTO about VALUES ('version', ?)", (str(VERSION),))
            return
        tables = {name for (name,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        version = self.about("version") if "about" in tables else None
        if version != str(VERSION):
            raise AlbertError(
                ErrorKind.DATA, str(self.path), expected=f"an index of documents of version {VERSION}",
                got="another program's database" if version is None else f"version {version}",
                hint="make a new one: albert index FOLDER -o NEW.db",
            )  # fmt: skip


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, so that they run in one transaction."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _told(path: Path, error: Exception) -> AlbertError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return AlbertError(
            ErrorKind.LOCKED, f"{path} is in use", got="another program that writes to it", hint="wait for it"
        )
    return AlbertError(
        ErrorKind.DATA, str(path), expected="an index of documents", got=str(error),
        hint="make it again: albert index FOLDER -o NEW.db",
    )  # fmt: skip
