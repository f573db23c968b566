"""Models in other forms: a file a target, and a line below. The names are there at once, the targets on first use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

TARGETS = {
    "int8": "int8.export_int8",
    "onnx": "onnx.export_onnx",
    "onnx-int8": "onnx.export_onnx_int8",
    "openvino": "openvino.export_openvino",
    "web": "web.export_web",
}
APART = ("openvino", "web")  # forms with a folder of their own, `out`; the others are written beside the model
LAYOUTS = ("albert", "bert")  # of weights: the families in `model/names.py`


def target_named(name: str) -> Callable[..., Any]:
    """What writes a model in this form. Raises `AlbertError` (usage) where there is none."""
    from albert.errors import AlbertError, ErrorKind

    if name not in TARGETS:
        raise AlbertError(ErrorKind.USAGE, "--to", expected=" or ".join(TARGETS), got=repr(name))
    module, function = TARGETS[name].split(".")
    found: Callable[..., Any] = getattr(import_module(f"albert.export.{module}"), function)
    return found
