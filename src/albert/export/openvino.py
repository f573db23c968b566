"""`albert export --to openvino`: a folder that OpenVINO and optimum-intel open."""

from __future__ import annotations

from pathlib import Path

from albert.data.reading import DataSource
from albert.errors import require_extra, require_share
from albert.export.gate import Export, passed
from albert.export.onnx import require_known
from albert.export.writing import require_new, write_settings
from albert.model.folder import ModelFolder
from albert.predict.predictor import Predictor
from albert.storage.files import disk_errors, new_folder, require_folder
from albert.storage.locks import output_lock

FILE = "openvino_model.xml"  # and .bin with the weights: the names that optimum-intel looks for


def export_openvino(
    model: str | Path,
    dev: str | Path | DataSource,
    *,
    out: str | Path,
    budget: float = 0.005,
    force: bool = False,
) -> Export:
    """Writes the network in float32, the config and the tokenizer into the new folder `out`.

    It is scored by OpenVINO on a labelled file. A model with early exit goes through all of its depths. Raises
    `AlbertError`: usage for a folder with files, bad-config without the extra `openvino`, bad-data, disk. It is
    bad-model for a network that the graph does not know (attention windows), for a linear model beside it, and where
    the score falls by more than `budget` unless `force` is given.
    """
    require_share("--budget", budget)
    openvino = require_extra("openvino", "openvino")
    require_extra("onnx", "openvino")
    from albert.export.onnx_graph import graph_of
    from albert.export.runtimes import OpenVinoEngine

    folder, source, place = ModelFolder.open(model), DataSource.of(dev), Path(out)
    require_folder(place)
    require_known(folder, "openvino")
    with disk_errors(place), output_lock(place):
        require_new(place)
        predictor = Predictor.load(folder, precision="fp32", early_exit=False).fitted(source)
        before = predictor.evaluate(source)
        runtime = OpenVinoEngine(graph_of(predictor.model).SerializeToString())
        predictor.engine = runtime  # type: ignore[assignment]
        after = predictor.evaluate(source)
        done = passed(
            f"openvino of {folder.path}", place, before, after, budget=budget, force=force, instead="the model as it is"
        )
        with new_folder(place) as staged:
            openvino.save_model(runtime.network, staged / FILE, compress_to_fp16=False)
            write_settings(staged, folder, predictor)
    return done
