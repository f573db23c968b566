"""The compiled library through ctypes. The structures and functions are those of `albert_lite.h`."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

_KINDS = {2: "usage", 65: "bad-data", 66: "bad-model", 70: "internal", 71: "out-of-memory", 78: "bad-config"}


class LiteError(ValueError):
    """A mistake outside our code. Text: `error[CODE] what: expected, got. hint: …`, as of `albert.AlbertError`."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code
        self.code = _KINDS.get(exit_code, "internal")


class Text(ctypes.Structure):
    """Bytes of UTF-8; none are no text."""

    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_size_t))

    @classmethod
    def of(cls, text: str | None) -> Text:
        """A text, or no text. Lone surrogates are refused by the library."""
        data = None if text is None else text.encode("utf-8", "surrogatepass")
        return cls(data, 0 if data is None else len(data))

    def read(self) -> str:
        """The text; it may have zeros in it."""
        place = ctypes.cast(ctypes.byref(self), ctypes.POINTER(ctypes.c_void_p)).contents.value
        return ctypes.string_at(place, self.size).decode() if place else ""


class Options(ctypes.Structure):
    """How a model is opened."""

    _fields_ = (
        ("precision", ctypes.c_char_p),
        ("instructions", ctypes.c_char_p),
        ("threads", ctypes.c_int),
        ("plain", ctypes.c_int),
    )


class Input(ctypes.Structure):
    """A text, perhaps with a second one, and choices."""

    _fields_ = (
        ("text", Text),
        ("pair", Text),
        ("choices", ctypes.POINTER(Text)),
        ("choice_count", ctypes.c_size_t),
    )


class Decoding(ctypes.Structure):
    """How logits become answers."""

    _fields_ = (
        ("top_k", ctypes.c_int64),
        ("max_answer", ctypes.c_int64),
        ("aggregation", ctypes.c_int),
        ("no_answer", ctypes.c_int),
        ("raw_scores", ctypes.c_int),
    )


class Answer(ctypes.Structure):
    """A label, entity, answer, choice or piece, or a vector."""

    _fields_ = (
        ("label", Text),
        ("part", Text),
        ("score", ctypes.c_double),
        *((name, ctypes.c_int64) for name in ("start", "end", "index")),
        ("vector", ctypes.POINTER(ctypes.c_float)),
        ("vector_size", ctypes.c_size_t),
    )


_HANDLE = ctypes.c_void_p
_MADE = ctypes.POINTER(ctypes.c_void_p)
_SIZE, _WHOLE = ctypes.c_size_t, ctypes.POINTER(ctypes.c_int64)
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "version": (ctypes.c_char_p, ()),
    "error": (ctypes.c_char_p, ()),
    "open": (ctypes.c_int, (ctypes.c_char_p, ctypes.POINTER(Options), _MADE)),
    "close": (None, (_HANDLE,)),
    "about": (ctypes.c_char_p, (_HANDLE,)),
    "predict": (ctypes.c_int, (_HANDLE, ctypes.POINTER(Input), _SIZE, ctypes.POINTER(Decoding), _MADE)),
    "embed": (ctypes.c_int, (_HANDLE, ctypes.POINTER(Text), _SIZE, ctypes.c_int, _MADE)),
    "fill_mask": (ctypes.c_int, (_HANDLE, Text, ctypes.c_int64, _MADE)),
    "tokenize": (ctypes.c_int, (_HANDLE, Text, Text, ctypes.c_int64, _MADE)),
    "lists": (_SIZE, (_HANDLE,)),
    "count": (_SIZE, (_HANDLE, _SIZE)),
    "get": (Answer, (_HANDLE, _SIZE, _SIZE)),
    "logits": (ctypes.POINTER(ctypes.c_float), (_HANDLE, _SIZE, _SIZE, _WHOLE, _WHOLE)),
    "cut": (_SIZE, (_HANDLE,)),
    "free": (None, (_HANDLE,)),
}


@cache
def library() -> ctypes.CDLL:
    """The compiled library: the package's own, or the file that ALBERT_LITE_LIBRARY names.

    Raises `LiteError` (bad-config) if there is none.
    """
    path = os.environ.get("ALBERT_LITE_LIBRARY") or str(Path(__file__).with_name("libalbert_lite.so"))
    try:
        loaded = ctypes.CDLL(path)
    except OSError as error:
        text = f"error[bad-config] {path}: expected the compiled library, got {error}. hint: pip install lite/python"
        raise LiteError(text, 78) from None
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(loaded, f"albert_lite_{name}")
        function.restype, function.argtypes = result, arguments
    return loaded


def call(name: str, *arguments: Any) -> int:
    """Calls a function that makes something, which its last argument points to, and returns what it made.

    Raises `LiteError` if it fails.
    """
    made = ctypes.c_void_p()
    code = getattr(library(), f"albert_lite_{name}")(*arguments, ctypes.byref(made))
    if code:
        raise LiteError(library().albert_lite_error().decode(), code)
    return made.value or 0
