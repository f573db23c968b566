"""Which files of a corpus are read, and in which format. Files that are left out are reported."""

from __future__ import annotations

import codecs
import enum
import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from albert.data.folders import visible
from albert.data.sources import raw_lines, suffix_of
from albert.errors import AlbertError, ErrorKind

_LOOKED_AT = 4096  # bytes of a first line that distinguish text, JSON and binary data
_SHOWN = 5
_ENDINGS = ".txt, .text, .md, .jsonl, .ndjson, .json or .parquet, all but the last also as .gz, .xz, .bz2, .zst"


class Kind(enum.Enum):
    """The format in which a file is read."""

    TEXT = "text"
    JSON = "JSON"
    PARQUET = "Parquet"


_KINDS = {
    ".txt": Kind.TEXT, ".text": Kind.TEXT, ".md": Kind.TEXT,
    ".jsonl": Kind.JSON, ".ndjson": Kind.JSON, ".json": Kind.JSON,
    ".parquet": Kind.PARQUET,
}  # fmt: skip
_NO_PROSE = (".csv", ".tsv", ".htm", ".html", ".xml")  # text, but a model would learn commas and tags


def corpus_files(paths: Sequence[Path], *, tell: Callable[[str], None] = lambda _: None) -> list[Path]:
    """The files of a corpus, sorted: those of `paths`, and for a folder all files below it that contain text.

    In a folder, files with a known ending are read, and text files without an ending (`wiki_00`). Hidden files and
    folders and all other files are left out, and `tell` gets a sentence about them. A file that is named itself is read
    by its content, whatever its ending. Links are followed, and each folder is read once. Raises `AlbertError`
    (bad-data) for a path that does not exist or has no text, and for a folder that cannot be read.
    """
    found: list[Path] = []
    for path in paths:
        inside = _below(path, tell) if os.path.isdir(path) else [path] if kind_of(path) else []
        if not inside:
            raise AlbertError(
                ErrorKind.DATA,
                str(path),
                expected=f"text: {_ENDINGS}",
                got=("none" if os.path.isdir(path) else "another kind of file")
                if os.path.exists(path)
                else "no such file or folder",
                hint='write other data as lines of JSON, {"text": "…"}' if os.path.isfile(path) else None,
            )
        found.extend(inside)
    return found


def kind_of(path: Path) -> Kind | None:
    """The format of a file: by its ending, else by its first line. None for a file without text."""
    suffix = suffix_of(path).lower()
    if suffix in _KINDS or not os.path.isfile(path) or suffix in _NO_PROSE:
        return _KINDS.get(suffix) if os.path.isfile(path) else None
    start = b"".join(islice(raw_lines(str(path), limit=_LOOKED_AT), 1)).removeprefix(codecs.BOM_UTF8)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # the last character may be cut
    except UnicodeDecodeError:
        return None
    if b"\0" in start:
        return None
    return Kind.JSON if start.lstrip().startswith(b'{"') else Kind.TEXT


def _below(folder: Path, tell: Callable[[str], None]) -> list[Path]:
    files, hidden = visible(folder)
    named = [path for path in files if suffix_of(path).lower() in _KINDS and path.is_file()]
    bare = [path for path in files if not suffix_of(path) and kind_of(path)]
    others = sorted({*files} - {*named, *bare})
    for group, what in (
        (bare, "without an ending, read as text"),
        (others, f"skipped, as they are neither {_ENDINGS} nor text without an ending"),
        (hidden, "skipped, as their names begin with a dot"),
    ):
        if group:
            names = ", ".join(path.relative_to(folder).as_posix() for path in group[:_SHOWN])
            tell(f"{folder}: {len(group):,} {what}: {names}" + ", …" * (len(group) > _SHOWN))
    return sorted([*named, *bare])
