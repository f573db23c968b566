"""Folders and files that are whole or absent: temporary name, fsync, manifest last, rename."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from albert.errors import AlbertError, ErrorKind
from albert.pipes import open_writer, target_of

MANIFEST = "manifest.json"
_TMP = ".tmp-"


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a disk that is full, read-only or gone into one clear error (exit 74)."""
    try:
        yield
    except BrokenPipeError:  # a reader that has left is no fault of the disk
        raise
    except OSError as error:
        raise AlbertError(
            ErrorKind.DISK,
            f"cannot write {path}",
            got=error.strerror or str(error),
            hint="free some space or choose another folder; what was saved before is intact",
        ) from error


def sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_path(path: Path) -> None:
    """Flushes a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes | str) -> None:
    """Writes a file so that readers, and a kill at any moment, see the old content or the new."""
    raw = data.encode("utf-8") if isinstance(data, str) else data
    temporary = path.with_name(f"{_TMP}{path.name}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            fsync_path(path.parent)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON, crash-safely."""
    write_file(path, as_json(value))


def as_json(value: Any) -> bytes:
    """A value as indented JSON."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def write_output(path: Path, data: bytes) -> None:
    """Writes a file that a user named, as `write_file` does: a link's end, and pipes and devices as streams.

    Raises `AlbertError` (disk) for a folder.
    """
    target = target_of(path)
    if target is not None:
        return write_file(target, data)
    with disk_errors(path), open_writer(path) as file:
        file.write(data)
    return None


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder to fill; on success it becomes `path`, with a manifest, in one rename.

    After an error nothing is left. An existing `path` is replaced only by a complete new one.
    """
    temporary = path.with_name(f"{_TMP}{path.name}")
    with disk_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            write_manifest(temporary)
            if path.exists():
                old = path.with_name(f"{_TMP}old-{path.name}")
                shutil.rmtree(old, ignore_errors=True)
                path.rename(old)
                temporary.rename(path)
                shutil.rmtree(old)
            else:
                temporary.rename(path)
            fsync_path(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def write_manifest(folder: Path, names: Iterable[str] | None = None) -> None:
    """Flushes the files called `names` (None: all) and then writes their sizes and SHA-256 as `manifest.json`."""
    if names is None:
        names = sorted(file.name for file in folder.iterdir() if file.is_file() and file.name != MANIFEST)
    entries = {}
    for file in (folder / name for name in names):
        fsync_path(file)
        entries[file.name] = {"size": file.stat().st_size, "sha256": sha256(file)}
    write_json(folder / MANIFEST, {"files": entries})
    fsync_path(folder)


def verify_manifest(folder: Path) -> str | None:
    """None when every file is as the manifest says, else the first difference in words."""
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{MANIFEST} is missing or unreadable"
    for name, entry in entries.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != entry["size"]:
            return f"{name} has {file.stat().st_size:,} bytes, the manifest says {entry['size']:,}"
        if sha256(file) != entry["sha256"]:
            return f"{name} does not have the SHA-256 of the manifest"
    return None


def folder_fingerprint(folder: Path) -> str:
    """SHA-256 of a model folder's manifest, of its configuration where it has none: which files it holds."""
    stored = folder / MANIFEST, folder / "config.json"
    return sha256(next(path for path in stored if path.is_file()))


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed writer left: everything under a temporary name."""
    if folder.is_dir():
        for path in folder.glob(f"{_TMP}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
