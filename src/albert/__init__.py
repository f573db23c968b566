"""ALBERT, the lite BERT, end to end. Importing this is light: torch loads on first use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from albert.version import __version__

# How often a thread looks for its next work before it sleeps. libgomp reads this when torch is imported. Its default
# of 300,000 takes a core from all other work, its own threads included: beside one busy loop training kept 0.07 of
# its speed, now 0.54 (benchmarks/neighbour.py). With more threads than cores, as soon as a Python thread beside the
# main one computes, libgomp looks only 100 times unless the policy is "active", and small products take 2.6 times as
# long (docs/log.md). The OpenMP of LLVM and Intel would never sleep then; KMP_BLOCKTIME keeps their default of 200
# ms. A policy of the user's own is kept.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ |= {"GOMP_SPINCOUNT": "1000", "OMP_WAIT_POLICY": "active"}
    os.environ.setdefault("KMP_BLOCKTIME", "200")

if TYPE_CHECKING:
    from albert.api import classify, distill, load, train
    from albert.config import AlbertConfig
    from albert.data.reading import DataSource
    from albert.documents import Index
    from albert.errors import AlbertError
    from albert.predict.predictor import Predictor

_LAZY = {
    "load": "albert.api",
    "train": "albert.api",
    "distill": "albert.api",
    "classify": "albert.api",
    "Index": "albert.documents",
    "Predictor": "albert.predict.predictor",
    "AlbertConfig": "albert.config",
    "DataSource": "albert.data.reading",
    "AlbertError": "albert.errors",
}
__all__ = [
    "AlbertConfig",
    "AlbertError",
    "DataSource",
    "Index",
    "Predictor",
    "__version__",
    "classify",
    "distill",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
