"""ALBERT models without torch: `albert_lite.load(folder)(text)` answers as `albert.load(folder)(text)` does."""

from __future__ import annotations

from albert_lite.library import LiteError
from albert_lite.model import Model, load

__all__ = ["LiteError", "Model", "load"]
