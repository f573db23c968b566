"""ALBERT, the lite BERT, end to end. Importing this is light: torch loads on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from albert.api import load, train
    from albert.config import AlbertConfig
    from albert.errors import AlbertError
    from albert.predictor import Predictor

_LAZY = {
    "load": "albert.api",
    "train": "albert.api",
    "Predictor": "albert.predictor",
    "AlbertConfig": "albert.config",
    "AlbertError": "albert.errors",
}
__all__ = ["AlbertConfig", "AlbertError", "Predictor", "__version__", "load", "train"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
