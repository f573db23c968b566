"""`albert export --to onnx` and `--to onnx-int8`: a model for ONNX Runtime, and so for transformers.js."""

from __future__ import annotations

from pathlib import Path

from albert.compute.covers import unknown
from albert.data.reading import DataSource
from albert.engine import calibrate
from albert.errors import AlbertError, ErrorKind, require_extra, require_share
from albert.export.gate import Export, passed, sample
from albert.model.folder import ModelFolder
from albert.predict.predictor import Predictor
from albert.storage.files import disk_errors, require_output, write_file
from albert.storage.locks import run_lock
from albert.tasks.stored import StoredTask

# In the model's folder, where transformers.js and the hub look for them.
FILES = {"onnx": Path("onnx") / "model.onnx", "onnx-int8": Path("onnx") / "model_quantized.onnx"}


def export_onnx(
    model: str | Path, dev: str | Path | DataSource, *, budget: float = 0.005, force: bool = False
) -> Export:
    """Writes `onnx/model.onnx` into a fine-tuned model's folder, beside the config and the tokenizer that readers want.

    It is scored by ONNX Runtime on a labelled file. A model with early exit goes through all of its depths. Raises
    `AlbertError`: bad-model for a network that the graph does not know (attention windows), for a linear model beside
    it, or where the score falls by more than `budget` and `force` is not given; bad-config without the extra `onnx`;
    bad-data; disk.
    """
    return _export("onnx", model, dev, budget=budget, force=force)


def export_onnx_int8(
    model: str | Path, dev: str | Path | DataSource, *, budget: float = 0.005, force: bool = False
) -> Export:
    """Writes `onnx/model_quantized.onnx`: blocks and word embeddings in int8, with ranges from texts of the file.

    Raises `AlbertError` as `export_onnx` does.
    """
    return _export("onnx-int8", model, dev, budget=budget, force=force)


def _export(form: str, model: str | Path, dev: str | Path | DataSource, *, budget: float, force: bool) -> Export:
    require_share("--budget", budget)
    require_extra("onnx", "onnx")
    from albert.export.onnx_graph import graph_of
    from albert.export.runtimes import OnnxEngine

    folder, source = ModelFolder.open(model), DataSource.of(dev)
    require_known(folder, form)
    out = folder.path / FILES[form]
    with disk_errors(out), run_lock(folder.path):
        require_output(folder.path / out.name)
        predictor = Predictor.load(folder, precision="fp32", early_exit=False).fitted(source)
        before = predictor.evaluate(source)
        calibration = calibrate(predictor.model, sample(predictor, before)) if form == "onnx-int8" else None
        graph = graph_of(predictor.model, calibration).SerializeToString()
        predictor.engine = OnnxEngine(graph)  # type: ignore[assignment]
        after = predictor.evaluate(source)
        done = passed(f"{form} of {folder.path}", out, before, after, budget=budget, force=force, instead="--to onnx")
        out.parent.mkdir(exist_ok=True)
        write_file(out, graph)
    return done


def require_known(folder: ModelFolder, form: str) -> None:
    """Raises `AlbertError` (bad-model) for a model that the graph would not have whole."""
    if missing := unknown(folder.config, folder.head):
        raise AlbertError(
            ErrorKind.MODEL, f"{folder.path}: --to {form}", expected="a network without attention windows",
            got=", ".join(missing),
        )  # fmt: skip
    stored = StoredTask.of(folder.config.extra, str(folder.path / "config.json"))
    if stored.hybrid is not None or stored.cascade is not None:
        raise AlbertError(
            ErrorKind.MODEL, f"{folder.path}: --to {form}", expected="a model of the network alone",
            got="one with a linear model on words (--hybrid, --cascade), which the graph would leave out",
        )  # fmt: skip
