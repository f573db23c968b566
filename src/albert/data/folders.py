"""The files below a folder: all of them, or an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from albert.errors import AlbertError, ErrorKind


def visible(folder: Path) -> tuple[list[Path], list[Path]]:
    """All files below a folder, and its hidden files and folders. Hidden folders are not entered.

    Raises `AlbertError` (bad-data) if a folder below cannot be read.
    """
    files: list[Path] = []
    hidden: list[Path] = []
    for place, folders, names in walk(folder, links=True):
        hidden += [place / name for name in (*folders, *names) if name.startswith(".")]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [place / name for name in names if not name.startswith(".")]
    return sorted(files), sorted(hidden)


def walk(folder: Path, *, links: bool) -> Iterator[tuple[Path, list[str], list[str]]]:
    """`os.walk`, but each folder once. With `links`, links to folders are followed.

    Raises `AlbertError` (bad-data) if a folder cannot be read.
    """
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        raise AlbertError(
            ErrorKind.DATA, str(error.filename), expected="a folder that can be read", got=str(error.strerror)
        ) from error

    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=links):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield Path(place), folders, names
