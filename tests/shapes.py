"""What checks the shapes of signatures while tests run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import beartype


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose arguments and result are checked; closures are not, since each call makes them anew."""
    return function if "<locals>" in getattr(function, "__qualname__", "") else beartype(function)
