"""Replaces several files of a folder at once. A kill at any moment leaves the old files or the new ones."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from albert.errors import AlbertError, ErrorKind
from albert.storage.files import MANIFEST, MODEL_FILES, TMP, disk_errors, fsync_path, remove_leftovers, write_manifest

NEXT = ".next"  # all new files, within a folder whose files are being replaced
_STAGED = f"{TMP}model"
_told = logging.getLogger("albert")


@contextlib.contextmanager
def new_files(folder: Path) -> Iterator[Path]:
    """Yields an empty folder for all files of a model. At the end they replace those in `folder` at once.

    One rename makes the new files complete. Before it, a kill leaves the old files. After it, `current_files` gives the
    new ones, and `settle` moves them to their places. After an error nothing has changed. Files that are not a model's
    stay. The caller holds the folder's lock.
    """
    staged = folder / _STAGED
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        settle(folder)
        staged.mkdir()
        try:
            yield staged
            write_manifest(staged)
            staged.rename(folder / NEXT)
            fsync_path(folder)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        settle(folder)


def current_files(folder: Path) -> Path:
    """The folder with a model's files: the folder itself, or `.next` in it during a replacement, also after a kill."""
    if not _replaced(folder):
        return folder
    _told.warning(f"{folder}: a replacement of its files is under way or was killed: reading the new files from {NEXT}")
    return folder / NEXT


def settle(folder: Path) -> None:
    """Finishes a replacement that a killed writer began, and removes what it left."""
    if _replaced(folder):
        source = folder / NEXT
        new = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
        # Without config.json no program takes the folder for a model. So nobody reads a mixture meanwhile.
        for name in ("config.json", MANIFEST, *MODEL_FILES):
            if name in (MANIFEST, "config.json") or name not in new:
                (folder / name).unlink(missing_ok=True)
        fsync_path(folder)
        for name in sorted(new, key=lambda name: (name == MANIFEST, name == "config.json", name)):
            _place(source / name, folder / name)
        fsync_path(folder)
        source.rename(folder / f"{TMP}placed")
        fsync_path(folder)
    remove_leftovers(folder)


def copy_file(source: Path, target: Path) -> None:
    """Makes `target` the same file as `source`, or a copy where a file cannot have two names."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        fsync_path(target)


def _replaced(folder: Path) -> bool:
    return (folder / NEXT).is_dir() and not (folder / NEXT).is_symlink()


def _place(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):  # renaming between two names of one file does nothing
        return
    temporary = target.with_name(f"{TMP}{target.name}")
    temporary.unlink(missing_ok=True)
    copy_file(source, temporary)
    temporary.replace(target)


@contextlib.contextmanager
def unchanged(folder: Path, *, since: tuple[Any, ...] | None = None) -> Iterator[None]:
    """Raises `AlbertError` (bad-model) if a folder's files were replaced meanwhile, or since the snapshot `since`."""
    before = snapshot(folder) if since is None else since
    try:
        yield
    except (AlbertError, OSError):
        if snapshot(folder) == before:
            raise
    if snapshot(folder) != before:
        raise AlbertError(
            ErrorKind.MODEL, str(folder), expected="files that stay as they are", got="others while they were read",
            hint="load it again",
        )  # fmt: skip


def snapshot(folder: Path) -> tuple[Any, ...]:
    """A value that changes when a folder's files are replaced."""
    found: list[Any] = [_replaced(folder)]
    for name in (MANIFEST, "config.json"):
        with contextlib.suppress(OSError):
            status = (folder / name).stat()
            found.append((name, status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)
