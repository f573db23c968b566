"""What checks the shapes of signatures while tests run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jaxtyping

SHAPED = re.compile(r"\b(Float|Int|Int8|Bool|Num|Shaped)\[")
_jaxtyped = jaxtyping.jaxtyped


def jaxtyped(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    """jaxtyping's decorator for functions and classes with shapes alone: it slows each call, and texts need millions.

    Closures are left out, since each call makes them anew.
    """
    return lambda defined: _jaxtyped(defined, typechecker=typechecker) if _has_shapes(defined) else defined


def _has_shapes(defined: Any) -> bool:
    annotations = " ".join(map(str, getattr(defined, "__annotations__", {}).values()))
    return bool(SHAPED.search(annotations)) and "<locals>" not in getattr(defined, "__qualname__", "")
