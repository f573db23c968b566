"""Lock files beside a user's own files: opened without following links, and held by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from albert.errors import AlbertError, ErrorKind

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # file systems without locks


def open_plain(path: Path) -> int:
    """A descriptor of a plain file that has only this name. It is made if it does not exist. Raises OSError.

    A link, pipe or device in its place is removed: whoever made the folder may have put it there, and we must not write
    to what it points to.
    """
    while True:
        with contextlib.suppress(FileNotFoundError):
            if not is_plain(path):
                path.unlink()
        try:
            descriptor = _open(path)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):  # created there since
                continue
            raise
        if _plain(os.fstat(descriptor)):
            return descriptor
        os.close(descriptor)


def is_plain(path: Path) -> bool:
    """Whether a name is the only one of a plain file. Raises OSError, and FileNotFoundError if it does not exist."""
    return _plain(path.lstat())


def _plain(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink <= 1


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


@contextlib.contextmanager
def alone(path: Path, *, wait: bool = False, opened: Callable[[Path], int] = open_plain) -> Iterator[int]:
    """Locks the file `path` and gives its descriptor. The kernel releases the lock when the process ends.

    Raises `BlockingIOError` if another process holds it and `wait` is false, and OSError.
    """
    while True:
        descriptor = opened(path)
        try:
            _take(descriptor, wait=wait)
            if _is_at(path, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)  # or the file was removed while this waited


def _take(descriptor: int, *, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Locks a run's folder, and makes it if necessary. Raises `AlbertError` (locked) with the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with _named(folder / ".lock", f"{folder} is in use", "choose another output folder"):
        yield


@contextlib.contextmanager
def output_lock(out: Path) -> Iterator[None]:
    """Locks an output with a lock file beside it, removed at the end. Raises `AlbertError` (locked) as `run_lock`."""
    place = Path(os.path.abspath(out))  # . and .. have no name of their own
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.parent / f"{place.name}.lock"
    with _named(beside, f"{out} is being written", "choose another output"):
        try:
            yield
        finally:
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(path: Path, what: str, other: str) -> Iterator[None]:
    """Locks a file and writes the holder's name into it."""
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(alone(path, opened=_open_lock))
        except BlockingIOError:
            raise AlbertError(
                ErrorKind.LOCKED, what, got=f"another run, {_holder(path)}", hint=f"wait for it, stop it, or {other}"
            ) from None
        told = _plain(os.fstat(descriptor))  # any other file is locked but not written
        if told:
            _write(descriptor, f"process {os.getpid()} on {socket.gethostname()}")
        try:
            yield
        finally:
            if told:
                _write(descriptor, "")


def _open_lock(path: Path) -> int:
    """Opens a lock file. Raises `AlbertError` (unsafe) for a link or anything that is not a file, and OSError."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise AlbertError(
                ErrorKind.UNSAFE,
                str(path),
                expected="a plain file, which tells other runs that this one is under way",
                got="a link" if path.is_symlink() else "something else",
                hint="remove it, if no other run is under way",
            )
    return _open(path)


def _write(descriptor: int, text: str) -> None:
    """Writes the holder into the lock file. The lock holds even if this fails."""
    with contextlib.suppress(OSError):
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:200].strip() or "unknown"
    except OSError:
        return "unknown"
