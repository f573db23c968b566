"""Pipes and devices in place of files: read and written as streams, with a limit on every wait."""

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
_OPEN_FILES = ("/proc/", "/dev/fd")  # where processes keep their open files; /dev/stdout links there


class ReaderGoneError(BrokenPipeError):
    """The reader of an output has left, as `head` does. This is not a fault, and nothing more is to do.

    It has no errno EPIPE, because others would take it for their own broken pipe.
    """


@contextlib.contextmanager
def reader_gone() -> Iterator[None]:
    """Tells an output whose reader left from other broken pipes."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGoneError("the reader of the output has left") from error


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe or a character device, also through links: it is read and written once, in order."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def open_reader(path: Path) -> IO[bytes]:
    """Opens a stream for reading. Raises `AlbertError` (bad-data) for a named pipe that no program writes to."""
    if not path.is_fifo():
        return path.open("rb")
    with ThreadPoolExecutor(1) as waiting:  # opening blocks until a writer opens the pipe
        opened = waiting.submit(os.open, path, os.O_RDONLY)
        try:
            return open(opened.result(WAIT), "rb")
        except TimeoutError:
            os.close(os.open(path, os.O_RDWR))  # opens the pipe for writing for a moment, which ends the wait
            os.close(opened.result())
        raise AlbertError(
            ErrorKind.DATA,
            f"{path}: a pipe",
            expected="a program that writes to it",
            got=f"none in {WAIT:g} s",
            hint="a pipe can be read only once; write its content to a file first",
        )


def open_writer(path: Path) -> IO[bytes]:
    """Opens a stream for appending. Raises `AlbertError` (disk) for a named pipe without a reader."""
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
    """The file at the end of an output's links; None for an output that is written as a stream.

    An open file such as /dev/stdout or /dev/fd/3 is a stream, too, because it may have content already. Raises
    `AlbertError` (disk) for a folder, or for anything else that is not a file.
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
