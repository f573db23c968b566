"""The compiled file of the kernels: made once per machine, kept where only its user can write, checked before it runs.

A note beside it has its SHA-256, or the reason why it could not be made. The names of both depend on the sources, the
compiler, its options and the processor. Writing takes a lock, so that one process compiles at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from albert.errors import AlbertError
from albert.machine.process import run_limited
from albert.storage.files import fsync_path, remove_leftovers, sha256, write_json
from albert.storage.locks import alone
from albert.storage.private import is_private, private_folders, writable_folder
from albert.storage.stored import read_object

SECONDS = 30.0  # for the compiler, which needs three on an idle machine
_REMEMBERED = 24 * 3600.0  # how long a failure counts: a disk or machine may just have been full
_SOURCES = Path(__file__).with_name("kernels")
_TORCH = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"  # loaded already, for its C interface
_FLAGS = ("-O3", "-std=c++17", "-fopenmp", "-shared", "-fPIC")


@dataclass(frozen=True)
class Library:
    """The file of the kernels, or the reason why there is none. `tried`: an attempt to compile was
    made, now or before.
    """

    path: Path | None
    reason: str = ""
    tried: bool = False


def library() -> Library:
    """The file. It is compiled now if this machine has none yet. Messages say so, or say why it cannot be."""
    found = look()
    if found.path is not None or found.tried or found.reason:
        return found
    print("compiling kernels for this machine, once: a few seconds", file=sys.stderr)
    try:
        made = _make(_compiler())
    except (OSError, AlbertError) as error:
        made = Library(None, str(error))
    if made.path is None:
        print(f"not compiled, PyTorch's operators do it: {made.reason}", file=sys.stderr)
    return made


def look() -> Library:
    """The present state, without compiling. It has neither a path nor a reason if nothing has been tried yet."""
    compiler = _compiler()
    if os.environ.get("ALBERT_COMPILE") == "0":
        return Library(None, "ALBERT_COMPILE=0")
    if sys.platform != "linux" or not _instructions():
        return Library(None, "this machine has no AVX2, or no Linux")
    if not compiler:
        return Library(None, f"no compiler {os.environ.get('CXX', 'g++')}")
    name = _name(compiler)
    for folder in filter(is_private, private_folders()):
        if _is_whole(folder / name):
            return Library(folder / name)
    for folder in filter(is_private, private_folders()):
        if reason := _failure(folder / name):
            return Library(None, reason, tried=True)
    return Library(None)


def _instructions() -> tuple[str, ...]:
    """The compiler's options for what this processor can do; none for one that kernels are not made for."""
    able = torch.cpu.get_capabilities()
    if able.get("avx512_f"):
        return ("-march=native",)
    return ("-mavx2", "-mfma", "-mtune=native") if able.get("avx2") and able.get("fma3") else ()


def _compiler() -> str:
    return shutil.which(os.environ.get("CXX", "g++")) or ""


def _make(compiler: str) -> Library:
    """Compiles, unless another process does so meanwhile. Raises OSError, `AlbertError`."""
    path = writable_folder() / _name(compiler)
    with _turn(path.with_name("compile.lock")):
        found = look()
        if found.path is not None or found.tried:
            return found
        remove_leftovers(path.parent)  # of processes that were killed, since this one has the lock
        if path.exists():
            print(f"{path} is damaged or from an unknown hand: made anew", file=sys.stderr)
        _note(path).unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=path.parent) as temporary:
            made = Path(temporary) / path.name
            if reason := _compile(compiler, made):
                _write(path, {"failed": reason})
                return Library(None, reason, tried=True)
            made.chmod(0o600)
            fsync_path(made)
            total = sha256(made)
            made.replace(path)
            fsync_path(path.parent)
        _write(path, {"sha256": total})
    return Library(path, tried=True)


@contextlib.contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Waits for other processes that compile. Raises `TimeoutError` if one takes too long, and OSError."""
    end = time.monotonic() + SECONDS + 5
    while True:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(alone(lock))
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError("another process has compiled for too long") from None
                time.sleep(0.05)
                continue
            yield
            lock.unlink(missing_ok=True)
            return


def _compile(compiler: str, made: Path) -> str:
    """Makes the file. Returns the reason if it could not, else "". Raises OSError."""
    command = [compiler, *_FLAGS, *_instructions(), str(_SOURCES / "kernels.cpp"), "-o", str(made), str(_TORCH)]
    code, said = run_limited(command, SECONDS, env={**os.environ, "TMPDIR": str(made.parent), "LC_ALL": "C"})
    if code is None:
        return f"{compiler} took more than {SECONDS:g} s"
    if code == 0 and made.is_file():
        return ""
    told = next((line.strip() for line in said.split("\n") if "error" in line.lower()), "")
    return f"{compiler} failed with exit code {code}" + f": {told[:200]}" * bool(told)


def _is_whole(path: Path) -> bool:
    """Whether the file is the one that was made, to the last byte."""
    try:
        return is_private(path) and is_private(_note(path)) and sha256(path) == _read(path).get("sha256")
    except OSError:
        return False


def _failure(path: Path) -> str:
    """Why the file could not be made earlier. ALBERT_COMPILE=1 asks to try again."""
    try:
        fresh = 0 <= time.time() - _note(path).stat().st_mtime < _REMEMBERED
    except OSError:
        return ""
    known = fresh and is_private(_note(path)) and os.environ.get("ALBERT_COMPILE") != "1"
    return str(_read(path).get("failed", "")) if known else ""


def _write(path: Path, note: dict[str, str]) -> None:
    write_json(_note(path), note)
    _note(path).chmod(0o600)  # until then nobody believes it, where a group may write


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_object(_note(path))
    except AlbertError:
        return {}


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _name(compiler: str) -> str:
    """A name that depends on everything that changes the file: sources, compiler, options and processor."""
    found = os.stat(compiler)
    version = f"{os.path.realpath(compiler)} {found.st_size} {found.st_mtime_ns}"  # to ask it would start it every time
    parts = [path.read_bytes() for path in sorted(_SOURCES.iterdir())]
    parts += [" ".join((version, *_FLAGS, *_instructions())).encode(), platform.machine().encode(), _processor()]
    parts += [torch.__version__.encode(), str(sorted(torch.cpu.get_capabilities().items())).encode()]
    return f"kernels-{hashlib.sha256(bytes(1).join(parts)).hexdigest()[:16]}.so"


def _processor() -> bytes:
    """The flags of the processor, to which -march=native compiles: a home may be shared by several machines."""
    try:
        with Path("/proc/cpuinfo").open("rb") as file:
            return next((line for line in file if line.startswith((b"flags", b"Features"))), b"")
    except OSError:
        return b""
