"""Running text from files, one paragraph at a time, in memory that does not grow with the corpus."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Sequence
from pathlib import Path

from albert.data.sources import OPENERS, suffix_of
from albert.errors import AlbertError, ErrorKind

_TEXT, _JSONL = {".txt", ".text", ".md"}, {".jsonl", ".ndjson"}


def corpus_files(paths: Sequence[Path]) -> list[Path]:
    """All text and JSONL files (.gz, .xz, .bz2 too) among and below `paths`, sorted.

    Raises `AlbertError` (bad-data) for a path that is not there or has none.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if _kind(p)) if path.is_dir() else [path]
        inside = [p for p in inside if p.is_file() and _kind(p)]
        if not inside:
            raise AlbertError(
                ErrorKind.DATA,
                str(path),
                expected="text (.txt, .md) or .jsonl files, plain or .gz, .xz, .bz2",
                got="none" if path.exists() else "no such file or folder",
            )
        found.extend(inside)
    return found


def corpus_lines(paths: Sequence[Path]) -> Iterator[str]:
    """The paragraphs of the files: lines of text; of JSONL the "text" string or the "paras" list.

    Raises `AlbertError` (bad-data) with file and line for what cannot be read.
    """
    for path in corpus_files(paths):
        jsonl = _kind(path) in _JSONL
        number = 0
        opener = OPENERS.get(path.suffix, open)
        try:
            with opener(path, "rt", encoding="utf-8-sig") as file:
                for number, line in enumerate(file, 1):  # noqa: B007  # the number names the line in errors
                    if jsonl:
                        yield from _paragraphs(line)
                    elif line.strip():
                        yield line
        except (ValueError, EOFError, OSError, lzma.LZMAError) as error:
            if isinstance(error, AlbertError):
                raise
            what = f"{path}:{number + 1 if isinstance(error, UnicodeError) else number}"
            raise AlbertError(
                ErrorKind.DATA,
                what,
                expected='UTF-8 JSON lines with "text" or "paras"' if jsonl else "UTF-8 text",
                got=str(error)[:200],
            ) from None


def _kind(path: Path) -> str | None:
    suffix = suffix_of(path)
    return suffix if suffix in _TEXT | _JSONL else None


def _paragraphs(line: str) -> Iterator[str]:
    if not line.strip():
        return
    row = json.loads(line)
    parts = [row["text"]] if "text" in row else row.get("paras")
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"keys {sorted(row)[:8]}")
    for part in parts:
        yield from (text for text in part.split("\n") if text.strip())
