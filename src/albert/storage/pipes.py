"""Pipes and devices among files: read and written as streams, and never waited for without end."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from albert.errors import AlbertError, ErrorKind

WAIT = 10.0  # seconds for the program at the other end of a named pipe
_OPEN_FILES = ("/proc/", "/dev/fd")  # where processes have theirs; /dev/stdout links to one


class ReaderGoneError(BrokenPipeError):
    """Whoever read an output has left, as `head` does: no fault, and nothing more to do.

    Without the number EPIPE, which others would take for their own.
    """


@contextlib.contextmanager
def reader_gone() -> Iterator[None]:
    """Tells a stream without a reader from other broken pipes."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGoneError("the reader of the output has left") from error


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe or a device of characters, through links: read and written once, in order."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def open_reader(path: Path) -> IO[bytes]:
    """Opens a stream to read. Raises `AlbertError` (bad-data) for a named pipe that no program writes to."""
    if not path.is_fifo():
        return path.open("rb")
    with ThreadPoolExecutor(1) as waiting:  # opening blocks until there is a writer
        opened = waiting.submit(os.open, path, os.O_RDONLY)
        try:
            return open(opened.result(WAIT), "rb")
        except TimeoutError:
            os.close(os.open(path, os.O_RDWR))  # is a writer for a moment, which ends the wait
            os.close(opened.result())
        raise AlbertError(
            ErrorKind.DATA,
            f"{path}: a pipe",
            expected="a program that writes to it",
            got=f"none in {WAIT:g} s",
            hint="a pipe can be read once only; write to a file what is to be read again",
        )


def open_writer(path: Path) -> IO[bytes]:
    """Opens a stream to write, behind what it has. Raises `AlbertError` (disk) for a named pipe without a reader."""
    end = time.monotonic() + WAIT
    flags = os.O_WRONLY | os.O_APPEND | (os.O_NONBLOCK if path.is_fifo() else 0)
    while True:
        try:
            descriptor = os.open(path, flags)
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
            if time.monotonic() > end:
                raise AlbertError(
                    ErrorKind.DISK, f"{path}: a pipe", expected="a program that reads it", got=f"none in {WAIT:g} s"
                ) from None
            time.sleep(0.02)
            continue
        os.set_blocking(descriptor, True)
        return open(descriptor, "wb")


def target_of(out: Path | str) -> Path | None:
    """The file that an output's name means, at the end of its links; None for what is written as a stream.

    That is also a file that is open already, like that of /dev/stdout or /dev/fd/3, which may hold something.
    Raises `AlbertError` (disk) for a folder, or anything else that is no file.
    """
    if is_stream(Path(out)) or _is_open_file(Path(out)):
        return None
    target = Path(os.path.realpath(out))
    if str(out).endswith(os.sep) or (target.exists() and not target.is_file()):
        folder = target.is_dir() or not target.exists()
        raise AlbertError(
            ErrorKind.DISK,
            f"cannot write {out}",
            expected="the name of a file",
            got="a folder" if folder else "something else",
            hint=f"name a file in it, like {Path(out) / 'out.jsonl'}" if folder else None,
        )
    return target


def _is_open_file(path: Path) -> bool:
    for _ in range(40):  # links, as many as Linux follows
        if os.path.realpath(path.parent).startswith(_OPEN_FILES):
            return True
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return False
