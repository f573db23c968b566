"""What checks the shapes of signatures while tests run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from beartype import beartype

SHAPED = re.compile(r"\b(Float|Int|Int8|Bool|Num|Shaped)\[")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose arguments and result are checked, if its signature has shapes.

    Closures are not, since each call makes them anew.
    """
    annotations = " ".join(map(str, getattr(function, "__annotations__", {}).values()))
    shaped = SHAPED.search(annotations) and "<locals>" not in getattr(function, "__qualname__", "")
    return beartype(function) if shaped else function
