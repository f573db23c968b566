"""Another processor, played in every process of a test run (`make test-isa`): torch is said to find less than there is.

Python imports this file when it starts, where its folder is in PYTHONPATH. ALBERT_TEST_WITHOUT holds the beginnings of
the names of what is hidden.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def play(cpu: ModuleType) -> None:
    """Hides it from everyone who asks torch.cpu."""
    hidden = tuple(os.environ.get("ALBERT_TEST_WITHOUT", "").split())
    seen = {name: able for name, able in cpu.get_capabilities().items() if not name.startswith(hidden)}
    cpu.get_capabilities = lambda: seen  # type: ignore[attr-defined]


class Finder:
    """Finds torch.cpu as Python would, and plays once it is imported: torch itself is imported when it is wanted."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == "torch.cpu" else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                play(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "torch.cpu" in sys.modules:
    play(sys.modules["torch.cpu"])
else:
    sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
