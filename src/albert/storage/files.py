"""Folders and files that are whole or absent: temporary name, fsync, manifest last, rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from albert.errors import AlbertError, ErrorKind
from albert.storage.locks import alone
from albert.storage.pipes import open_writer, reader_gone, target_of
from albert.storage.stored import read_object, read_plain, typed

MANIFEST = "manifest.json"
INT8 = "int8.safetensors"
LINEAR = "linear.safetensors"
# Files of a model's or tokenizer's folder that can change an answer.
MODEL_FILES = (
    "config.json", "model.safetensors", "model.safetensors.index.json", "exits.safetensors", INT8, LINEAR,
    "spiece.model", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "added_tokens.json",
    "special_tokens_map.json", "modules.json", "sentence_bert_config.json",
)  # fmt: skip
TMP = ".tmp-"
_EDITABLE = (MANIFEST, "README.md", "curves.png")  # a manifest does not list these
_AGAIN = "save or copy it again (delete manifest.json after a deliberate change)"
_STDIN, _STDOUT = Path("/dev/stdin"), Path("/dev/stdout")
_LONGEST = ".part.json"  # suffixes that are added to an output's name for a while
_FAULTS = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.ENFILE, errno.EMFILE, errno.ENAMETOOLONG,
    errno.EACCES, errno.ESTALE,
)  # fmt: skip
_OF_SQLITE = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")


@contextlib.contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
    """Turns the error of a disk that is full, read-only or gone into one clear error (exit 74),
    from whatever library.
    """
    try:
        yield
    except (AlbertError, BrokenPipeError):  # a reader that left is not a fault of the disk
        raise
    except Exception as error:
        reason = disk_fault(error)
        if reason is None:
            raise
        raise AlbertError(
            ErrorKind.DISK,
            f"cannot write {path}",
            got=reason,
            hint="free some space or choose another folder; everything saved before is intact",
        ) from error


def disk_fault(error: Exception) -> str | None:
    """The system's message about a file or disk; None if the error is about something else.

    Rust's libraries (safetensors, tokenizers), sqlite and C++ have their own error types, with the system's message
    inside.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    if str(getattr(error, "sqlite_errorname", "")).startswith(_OF_SQLITE):
        return str(error)
    said = str(error)
    if said.endswith("iostream error"):  # C++ streams know no more
        return said
    return next((reason for number in _FAULTS if (reason := os.strerror(number)) in said), None)


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
    """Writes a file. Readers see the old content or the new, and so does a kill at any moment."""
    raw = data.encode("utf-8") if isinstance(data, str) else data
    temporary = path.with_name(f"{TMP}{path.name}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(temporary, wait=True) as descriptor:  # two processes may write the same file at once
            try:
                with open(descriptor, "wb", closefd=False) as file:
                    file.truncate(0)
                    file.write(raw)
                    file.flush()
                    os.fsync(descriptor)
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
    """Writes a file that a user named, as `write_file` does. Follows links; writes pipes and devices as streams.

    Raises `AlbertError` (disk) for a folder, and `ReaderGoneError`.
    """
    with disk_errors(path):
        target = target_of(path)
    if target is not None:
        return write_file(target, data)
    with stream(path) as file:
        file.write(data)
    return None


@contextlib.contextmanager
def stream(out: Path | str) -> Iterator[IO[bytes]]:
    """Standard output ("-"), a pipe or a device, opened for writing. Raises `AlbertError` (disk), `ReaderGoneError`."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(disk_errors("standard output" if str(out) == "-" else out))
        stack.enter_context(reader_gone())
        yield stack.enter_context(os.fdopen(1, "wb", closefd=False) if str(out) == "-" else open_writer(Path(out)))


def named(name: str | Path) -> Path:
    """The path of a name. Raises `AlbertError` (usage) for an empty one, which would mean the current folder."""
    if not str(name):
        raise AlbertError(
            ErrorKind.USAGE, 'the name ""', expected="a file or folder", got="none", hint=". is the current folder"
        )
    return Path(name)


def require_output(out: Path | str, *, inputs: Iterable[Path | str] = ()) -> None:
    """Checks an output before any work is done.

    Raises `AlbertError`: disk if `out` cannot be a file, usage if it is one of the inputs.
    """
    with disk_errors(out):
        target = None if str(out) == "-" else target_of(named(out))
        if target is not None:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                target.with_name(f"{TMP}{target.name}{_LONGEST}").lstat()  # a name may be too long
    for path in inputs:
        if _same(target or (_STDOUT if str(out) == "-" else Path(out)), _STDIN if str(path) == "-" else Path(path)):
            raise AlbertError(
                ErrorKind.USAGE,
                f"output {out}",
                expected="another file than what is read",
                got=f"{path} itself",
                hint="write to another name; what is read is left as it is",
            )
    if target is not None:
        _require_place(target.parent, out)


def require_folder(out: Path | str, *, inputs: Iterable[Path | str] = ()) -> None:
    """Checks an output folder before any work is done.

    Raises `AlbertError`: disk if `out` cannot be a folder, usage if it is within an input.
    """
    target = Path(os.path.realpath(out))
    if os.path.exists(target) and not os.path.isdir(target):
        raise AlbertError(ErrorKind.USAGE, str(out), expected="a folder", got="a file")
    for path in map(Path, inputs):
        if os.path.isdir(path) and target.is_relative_to(path.resolve()):
            raise AlbertError(
                ErrorKind.USAGE,
                f"output {out}",
                expected="a folder outside of what is read",
                got=f"one in {path}",
                hint="the next call would read what this one writes",
            )
    _require_place(target, out)


def _same(target: Path, other: Path) -> bool:
    try:
        return target.is_file() and target.samefile(other)
    except OSError:  # one of them does not exist
        return False


def _require_place(folder: Path, out: Path | str) -> None:
    """Raises `AlbertError` (disk) unless files can be made in a folder, which may not exist yet."""
    with disk_errors(out):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            folder.lstat()  # a name may be too long
        while not os.path.lexists(folder):
            folder = folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} is no folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
            raise OSError(errno.EACCES, os.strerror(errno.EROFS if read_only else errno.EACCES))


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder to fill. On success it gets a manifest and becomes `path` in one rename.

    After an error nothing is left. An existing `path` is replaced only by a complete new folder.
    """
    temporary = path.with_name(f"{TMP}{path.name}")
    with disk_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            write_manifest(temporary)
            if path.exists():
                old = path.with_name(f"{TMP}old-{path.name}")
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


# --- what a manifest vouches for ---------------------------------------------------------------------


@dataclass(frozen=True)
class FileEntry:
    """What a manifest says about one file."""

    size: int
    sha256: str

    def difference(self, name: str, found: FileEntry) -> str | None:
        """How a file differs from this entry, in words."""
        if found.size != self.size:
            return f"{name} has {found.size:,} bytes, the manifest says {self.size:,}"
        return None if found.sha256 == self.sha256 else f"{name} does not have the SHA-256 of the manifest"


@dataclass(frozen=True)
class _Manifest:
    files: dict[str, FileEntry]


def write_manifest(folder: Path) -> None:
    """Flushes a folder's files, then writes their sizes and SHA-256 to `manifest.json`. Cards are left out."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    entries = {}
    for name, path in found.items():
        if name not in _EDITABLE:
            fsync_path(path)
            entries[name] = asdict(FileEntry(path.stat().st_size, sha256(path)))
    write_json(folder / MANIFEST, {"files": entries})
    fsync_path(folder)


def manifest_entries(folder: Path) -> dict[str, FileEntry] | None:
    """The manifest's entries by the files' names below the folder; None without a manifest of this kind.

    Raises `AlbertError` (bad-model) for a manifest that cannot be read or that lists nothing.
    """
    path = folder / MANIFEST
    if not os.path.lexists(path):
        return None
    raw = read_object(path)
    if "files" not in raw:  # the manifest of something else
        return None
    entries = typed(_Manifest, raw, str(path)).files
    if not entries:
        raise AlbertError(ErrorKind.MODEL, str(path), expected="the files of a model", got="none", hint=_AGAIN)
    if odd := [name for name in entries if name.startswith("/") or ".." in Path(name).parts]:
        raise AlbertError(ErrorKind.MODEL, str(path), expected="files of its folder", got=odd[0], hint=_AGAIN)
    return entries


def verify_manifest(folder: Path, needed: Iterable[str] = ()) -> str | None:
    """None if every file is as the manifest says, else the first difference in words.

    The files `needed` must be listed, and so must the existing files of a model.
    """
    try:
        entries = manifest_entries(folder)
    except AlbertError as error:
        return f"{MANIFEST}: expected {error.expected}, got {error.got}"
    if entries is None:
        return f"{MANIFEST} is missing or another's"
    there = [name for name in MODEL_FILES if name != INT8 and (folder / name).exists()]  # int8: see its reader
    for name in (*needed, *there):
        if name not in entries:
            return f"{name} is not in {MANIFEST}"
    for name, entry in entries.items():
        file = folder / name
        if not os.path.isfile(file):  # a name may be too long
            return f"{name:.80} is missing"
        if file.stat().st_size == entry.size:
            found = FileEntry(entry.size, sha256(file))
        else:
            found = FileEntry(file.stat().st_size, "")
        if difference := entry.difference(name, found):
            return difference
    return None


def read_vouched(folder: Path, name: str, *, kind: ErrorKind = ErrorKind.MODEL) -> bytes:
    """The bytes of a folder's file.

    Raises `AlbertError`: bad-model unless they match the manifest, if there is one; `kind` for a file that cannot be
    read.
    """
    raw = read_plain(folder / name, kind=kind)
    entries = manifest_entries(folder)
    if entries is not None:
        entry = entries.get(name)
        found = FileEntry(len(raw), hashlib.sha256(raw).hexdigest())
        wrong = f"{name} is not in {MANIFEST}" if entry is None else entry.difference(name, found)
        if wrong:
            raise damaged(folder, wrong)
    return raw


def damaged(folder: Path, difference: str) -> AlbertError:
    """The error for a folder that differs from its manifest."""
    return AlbertError(
        ErrorKind.MODEL,
        f"{folder} is damaged or half-written",
        expected=f"files as in {MANIFEST}",
        got=difference,
        hint=_AGAIN,
    )


def folder_fingerprint(folder: Path) -> str:
    """Identifies the model in a folder: the SHA-256 of its manifest; without one, that of all its files."""
    if (folder / MANIFEST).is_file():
        return sha256(folder / MANIFEST)
    names = {*MODEL_FILES, *(path.name for path in folder.glob("*.safetensors"))}
    files = sorted(path for name in names if (path := folder / name).is_file())
    return hashlib.sha256("".join(f"{path.name} {sha256(path)}\n" for path in files).encode()).hexdigest()


def remove_leftovers(folder: Path) -> None:
    """Removes everything under a temporary name, which a killed writer left."""
    if folder.is_dir():
        for path in folder.glob(f"{TMP}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
