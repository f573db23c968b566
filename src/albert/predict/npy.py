"""Vectors as numpy's .npy file, written portion by portion: the number of rows stands in its first bytes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from albert.errors import AlbertError, ErrorKind
from albert.storage.pipes import target_of
from albert.storage.records import Form, Record

FORM = Form("npy")
_MAGIC = b"\x93NUMPY\x01\x00"
_HEAD = 128  # bytes; numpy wants a multiple of 64


def form_of(out: str, output_format: str | None = None) -> Form:
    """The form that the name of a file of vectors asks for. Raises `AlbertError` (usage) as `Form.of`."""
    if Path(out).suffix.lower() != ".npy":
        return Form.of(out, output_format)
    if output_format is not None:
        raise AlbertError(ErrorKind.USAGE, f"output {out}", expected="npy in it, as it is called", got=output_format)
    if target_of(out) is None:
        raise AlbertError(
            ErrorKind.USAGE, f"output {out}", expected="a file, as .npy begins with the number of rows", got="a stream",
            hint="write JSON lines to it: --output-format jsonl, and another name",
        )  # fmt: skip
    return FORM


class VectorRecords:
    """Rows as bytes of an .npy file, as `Records` for the other forms; other columns are left out."""

    form = FORM
    columns: tuple[str, ...] = ("embedding",)
    blank = nulls = 0

    def __init__(self, size: int) -> None:
        self.size = size

    def portion(self, rows: Iterable[tuple[str, Record]], *, first: bool) -> bytes:
        """The vectors of some rows; the `first` ones begin the file."""
        table = np.asarray([row["embedding"] for _, row in rows], "<f4")
        return (self.head(0) if first else b"") + table.tobytes()

    def end(self) -> bytes:
        """Nothing stands after the last row."""
        return b""

    def head(self, rows: int) -> bytes:
        """The first bytes, which say how many rows there are."""
        shape: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (rows, self.size)}
        text = repr(shape).encode().ljust(_HEAD - len(_MAGIC) - 3) + b"\n"
        return _MAGIC + len(text).to_bytes(2, "little") + text
