"""Kernels compiled for this machine, once: C++ of ours, the compiler that is there, a cache of the user's.

It takes a few seconds, and says so. Without a compiler, without AVX-512, or with ALBERT_COMPILE=0 there are none,
and PyTorch's own operators do the same. Where the user's cache cannot be written, a folder among the temporary files
takes its place. What lies in these folders is run, so one that another user may write to is not used.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

_SOURCES = Path(__file__).with_name("kernels")
_TORCH = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"  # loaded already, for its C interface
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-fopenmp", "-shared", "-fPIC")
_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
_ARGUMENTS = {"attend": (3, 4), "quantize": (3, 3), "embed": (5, 2), "encode": (4, 5)}  # pointers, then numbers
LANES = 16  # numbers in a register: a head's size is a multiple of it


@dataclass(frozen=True)
class Attention:
    """Each text's attention to itself, texts end to end between `starts`."""

    function: Callable[..., int]
    size: int
    heads: int
    starts: Int[Tensor, " bounds"]

    def __call__(self, qkv: Float[Tensor, "tokens width"], *, rows: int, first: bool) -> Float[Tensor, "rows hidden"]:
        """With `first` that of each text's first piece alone. Of the `rows` those after the texts repeat the first."""
        texts = len(self.starts) - 1
        context = qkv.new_empty(rows, self.heads * self.size)
        self.function(
            qkv.data_ptr(), context.data_ptr(), self.starts.data_ptr(), texts, self.heads, self.size, first
        )  # fmt: skip
        context[texts if first else int(self.starts[-1]) :] = context[0]
        return context


def attention(dtype: torch.dtype, size: int) -> Callable[..., int] | None:
    """What `Attention` calls for heads of this size, where this machine has it."""
    return None if size % LANES else function_of("attend", dtype)


def quantize(x: Float[Tensor, "tokens width"], factors: Float[Tensor, " width"], zero: int) -> Tensor:
    """round(x * factor of the column) + zero, kept within 0 and 255, as uint8."""
    function = function_of("quantize", x.dtype)
    if function is None or x.shape[1] % LANES or not x.is_contiguous():
        return (x * factors).round_().add_(zero).clamp_(0, 255).to(torch.uint8)
    out = torch.empty(x.shape, dtype=torch.uint8)
    function(x.data_ptr(), out.data_ptr(), factors.data_ptr(), *x.shape, zero)
    return out


def function_of(name: str, dtype: torch.dtype) -> Callable[..., int] | None:
    """One of the kernels for numbers of this kind, where this machine has it."""
    return _functions().get(f"{name}_{_NAMES[dtype]}")


@cache
def _functions() -> dict[str, Callable[..., int]]:
    """What there is, by name."""
    path = _library()
    if path is None:
        return {}
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:  # as where temporary files may not be run
        print(f"{path} cannot be loaded, PyTorch's operators do it: {error}", file=sys.stderr)
        return {}
    found = {}
    for kind, (pointers, numbers) in _ARGUMENTS.items():
        for name in (f"{kind}_{number}" for number in _NAMES.values()):
            if hasattr(library, name):
                function = getattr(library, name)
                function.argtypes = [ctypes.c_void_p] * pointers + [ctypes.c_int64] * numbers
                function.restype = ctypes.c_int64 if kind in ("embed", "encode") else None
                found[name] = function
    return found


def _library() -> Path | None:
    """The compiled file, made now if this machine has none yet."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    able = torch.cpu.get_capabilities().get("avx512_f") and sys.platform == "linux"
    if os.environ.get("ALBERT_COMPILE") == "0" or compiler is None or not able:
        return None
    name, folders = f"kernels-{_fingerprint(compiler)}.so", _folders()
    for folder in filter(_safe, folders):
        if (folder / name).is_file():
            return folder / name
    try:
        return _compile(compiler, _writable(folders) / name)
    except (OSError, subprocess.SubprocessError) as error:
        reason = error if isinstance(error, OSError) else type(error).__name__
        print(f"not compiled, PyTorch's operators do it: {reason}", file=sys.stderr)
        return None


def _compile(compiler: str, path: Path) -> Path:
    """Makes the file. Raises OSError or subprocess.SubprocessError."""
    print("compiling kernels for this machine, once: a few seconds", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        made = Path(temporary) / path.name
        command = [compiler, *_FLAGS, str(_SOURCES / "kernels.cpp"), "-o", str(made), str(_TORCH)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        made.replace(path)
    return path


def _folders() -> list[Path]:
    """Where compiled files may lie: the user's cache first, then a folder of the user's among the temporary files."""
    found = []
    with contextlib.suppress(RuntimeError):  # a user without a home
        found.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "albert")
    with contextlib.suppress(OSError):  # no place for temporary files
        found.append(Path(tempfile.gettempdir()) / f"albert-{os.geteuid()}")
    return found


def _writable(folders: list[Path]) -> Path:
    """The first one that this user alone can write to; says so if it is not the first of all. Raises OSError."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _safe(folder) and os.access(folder, os.W_OK | os.X_OK):
            if folder != folders[0]:
                print(f"{folders[0]} is no folder that this user alone can write to: using {folder}", file=sys.stderr)
            return folder
    raise PermissionError(f"no folder that this user alone can write to: {', '.join(map(str, folders))}")


def _safe(folder: Path) -> bool:
    """Whether this is a folder, or this user's link to one, to which nobody else but root may write."""
    try:
        link, found = folder.lstat(), folder.stat()
    except OSError:
        return False
    owned = {link.st_uid, found.st_uid} <= {0, os.geteuid()}
    return owned and stat.S_ISDIR(found.st_mode) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _fingerprint(compiler: str) -> str:
    """What a compiled file depends on: the sources, how and by what it is compiled, and what the processor can."""
    parts = [path.read_bytes() for path in sorted(_SOURCES.iterdir())]
    parts += [" ".join((compiler, *_FLAGS)).encode(), platform.machine().encode()]
    parts += [torch.__version__.encode(), str(sorted(torch.cpu.get_capabilities().items())).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
