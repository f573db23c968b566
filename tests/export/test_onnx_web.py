"""The ONNX files run unchanged in onnxruntime-web, the runtime of transformers.js, under node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from test_onnx import OUTPUTS, batch, model, wanted

from albert.engine import calibrate
from albert.export.onnx_graph import graph_of
from albert.model import HEADS
from conftest import ROOT
from rows import features

PACKAGES = Path(os.environ.get("ALBERT_NODE_PACKAGES", ROOT / "build" / "node"))  # `make build/node`
pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(shutil.which("node") is None, reason="needs node"),
    pytest.mark.skipif(
        not (PACKAGES / "node_modules" / "onnxruntime-web").exists(), reason="needs onnxruntime-web: make build/node"
    ),
]


def said(folder: Path, graph: bytes, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """What the runtime gives for these inputs."""
    (folder / "model.onnx").write_bytes(graph)
    job = {name: {"dims": list(value.shape), "data": value.flatten().tolist()} for name, value in inputs.items()}
    done = subprocess.run(
        ["node", Path(__file__).with_name("onnx_web.mjs"), PACKAGES, folder / "model.onnx"],
        input=json.dumps(job), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {name: np.reshape(one["data"], one["dims"]) for name, one in json.loads(done.stdout).items()}


@pytest.mark.parametrize("head", sorted(HEADS))
def test_it_gives_the_networks_numbers(tmp_path: Path, head: str) -> None:
    one, inputs = model(head), batch([3, 17, 40, 1], 0)
    found = said(tmp_path, graph_of(one).SerializeToString(), inputs)
    mask = inputs["attention_mask"].numpy().astype(bool)
    for name, ours in zip(OUTPUTS.get(head, ["logits"]), wanted(one, inputs), strict=True):
        real = mask if ours.shape[:2] == mask.shape and head != "embedding" else slice(None)
        np.testing.assert_allclose(found[name][real], ours[real], atol=1e-4)


def test_int8_is_that_of_onnx_runtime(tmp_path: Path) -> None:
    one, inputs = model("sequence_classification", hidden_size=64, num_hidden_layers=3), batch([40, 33, 12, 5], 0)
    graph = graph_of(one, calibrate(one, features([40, 33, 12, 5]))).SerializeToString()
    (theirs,) = onnxruntime.InferenceSession(graph).run(["logits"], {n: v.numpy() for n, v in inputs.items()})
    np.testing.assert_allclose(said(tmp_path, graph, inputs)["logits"], theirs, atol=0.02 * float(np.std(theirs)))
