"""`albert export --to onnx`: a model for ONNX Runtime and for the libraries built on it, such as transformers.js."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from albert.compute.covers import unknown
from albert.errors import AlbertError, ErrorKind, require_extra
from albert.model import load_model
from albert.model.folder import ModelFolder
from albert.storage.files import disk_errors, require_output, write_file
from albert.storage.locks import run_lock

ONNX = Path("onnx") / "model.onnx"  # the place in the model's folder where transformers.js and the hub look for it


@dataclass(frozen=True)
class OnnxExport:
    """The file that was written, and its size and that of the weights in bytes."""

    path: Path
    size: int
    weights: int


def export_onnx(model: str | Path) -> OnnxExport:
    """Writes `onnx/model.onnx` into a model's folder, beside the config and the tokenizer that its readers need.

    A model with early exit runs all of its depths there. Raises `AlbertError`: bad-model for a network that the graph
    does not support (attention windows), bad-config without the extra `onnx`, disk.
    """
    require_extra("onnx", "onnx")
    from albert.export.onnx_graph import graph_of

    folder = ModelFolder.open(model)
    if missing := unknown(folder.config, folder.head):
        raise AlbertError(
            ErrorKind.MODEL, f"{folder.path}: --to onnx", expected="a network without attention windows",
            got=", ".join(missing),
        )  # fmt: skip
    out = folder.path / ONNX
    require_output(out.parent)
    data = graph_of(load_model(folder)).SerializeToString()
    with disk_errors(out), run_lock(folder.path):
        out.parent.mkdir(exist_ok=True)
        write_file(out, data)
    weights = sum(path.stat().st_size for path in folder.path.glob("*.safetensors"))
    return OnnxExport(out, len(data), weights)
