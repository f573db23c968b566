"""`albert export --to onnx`: ONNX Runtime says what the network says, for all heads, from weights stored once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import albert
from albert.config import AlbertConfig
from albert.data.examples import Example
from albert.engine import Engine, calibrate
from albert.errors import AlbertError, ErrorKind
from albert.export.onnx import export_onnx
from albert.export.onnx_graph import graph_of
from albert.export.openvino import export_openvino
from albert.export.runtimes import OnnxEngine, OpenVinoEngine, Runtime
from albert.model import HEADS, AlbertForTask, save_model
from albert.predict.predictor import Predictor
from conftest import Albert, write_reviews
from rows import features

pytestmark = pytest.mark.ci  # minutes altogether

OUTPUTS = {
    "masked_lm": ["logits"], "pretraining": ["prediction_logits", "sop_logits"], "span": ["start_logits", "end_logits"],
    "embedding": ["sentence_embedding"],
}  # fmt: skip
SHAPES: list[dict[str, Any]] = [
    {},
    {"num_hidden_layers": 4, "num_hidden_groups": 2, "hidden_act": "relu", "pooling": "mean"},
    {
        "sharing": "none",
        "num_hidden_groups": 2,
        "hidden_act": "gelu",
        "embedding_projection": False,
        "embedding_size": 32,
    },
    {"sharing": "attention", "num_hidden_groups": 2, "inner_group_num": 1},
]  # fmt: skip


def model(head: str, **changes: Any) -> AlbertForTask:
    shape = {"vocab_size": 60, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48,
             "id2label": ("a", "b", "c"), "max_position_embeddings": 40, "initializer_range": 0.1}  # fmt: skip
    config = AlbertConfig.named("tiny", **{**shape, **changes})
    return AlbertForTask(config, head, generator=torch.Generator().manual_seed(0)).eval()


def batch(lengths: list[int], seed: int) -> dict[str, torch.Tensor]:
    at = torch.arange(max(lengths))
    mask = (at < torch.tensor(lengths)[:, None]).long()
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 60, mask.shape, generator=draw) * mask
    return {"input_ids": ids, "attention_mask": mask,
            "token_type_ids": torch.randint(0, 2, mask.shape, generator=draw) * mask}  # fmt: skip


def wanted(one: AlbertForTask, inputs: dict[str, torch.Tensor]) -> list[np.ndarray]:
    with torch.inference_mode():
        found = one(**inputs)
    parts = found if isinstance(found, tuple) else (found,)
    if one.head_name == "span":
        parts = parts[0].unbind(2)
    return [part.numpy() for part in parts]


SESSIONS: dict[tuple[str, int], tuple[AlbertForTask, onnxruntime.InferenceSession]] = {}


def session(head: str, shape: int) -> tuple[AlbertForTask, onnxruntime.InferenceSession]:
    if (head, shape) not in SESSIONS:
        one = model(head, **SHAPES[shape])
        SESSIONS[head, shape] = one, onnxruntime.InferenceSession(graph_of(one).SerializeToString())
    return SESSIONS[head, shape]


@settings(max_examples=60)
@given(
    head=st.sampled_from(sorted(HEADS)), shape=st.sampled_from(range(len(SHAPES))),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5), seed=st.integers(0, 99),
)  # fmt: skip
def test_onnx_runtime_gives_the_same_numbers(head: str, shape: int, lengths: list[int], seed: int) -> None:
    one, running = session(head, shape)
    inputs = batch(lengths, seed)
    found = running.run(OUTPUTS.get(head, ["logits"]), {name: value.numpy() for name, value in inputs.items()})
    for ours, theirs in zip(wanted(one, inputs), found, strict=True):
        by_piece = ours.ndim > 1 and ours.shape[:2] == tuple(inputs["input_ids"].shape) and head != "embedding"
        real = inputs["attention_mask"].numpy().astype(bool) if by_piece else slice(None)
        np.testing.assert_allclose(theirs[real], ours[real], atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("runtime", [OnnxEngine, OpenVinoEngine])
@pytest.mark.parametrize("head", [name for name in HEADS if name not in ("masked_lm", "pretraining")])
def test_in_the_engines_place_it_gives_the_same_rows(head: str, runtime: type[Runtime], shape: dict[str, Any]) -> None:
    one, rows = model(head, **shape), features([3, 17, 40, 1, 8])
    for found, wanted in zip(
        runtime(graph_of(one).SerializeToString()).exits(rows).logits, Engine(one, "fp32").logits(rows), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("head", ["sequence_classification", "token_classification", "span"])
def test_int8_stays_near_and_is_small(head: str) -> None:
    one, rows = model(head, hidden_size=64, num_hidden_layers=3, num_hidden_groups=2), features([40, 33, 12, 5] * 4)
    calibration = calibrate(one, rows)
    graph = graph_of(one, calibration).SerializeToString()
    found, wanted = OnnxEngine(graph).exits(rows).logits, Engine(one, "fp32").logits(rows)
    spread = np.std(np.concatenate([row.ravel() for row in wanted]))
    assert max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True)) < 0.2 * spread
    assert len(graph) < 0.5 * len(graph_of(one).SerializeToString())


def test_a_shared_block_is_stored_once(tmp_path: Path) -> None:
    one = model("sequence_classification", num_hidden_layers=12, hidden_size=64)
    save_model(one, tmp_path)
    nodes = 60_000  # bytes for 12 depths of nodes, whatever the weights
    weights = (tmp_path / "model.safetensors").stat().st_size
    assert len(graph_of(one).SerializeToString()) <= 1.1 * weights + nodes


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("onnx")
    data = write_reviews(folder / "reviews.csv", rows=200)
    settings = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "initializer_range": 0.1,
                "lr": 3e-3, "batch_size": 16, "epochs": 8.0, "precision": "fp32"}  # fmt: skip
    albert.train(data, out=folder / "out", size="tiny", settings=settings, quiet=True)
    return folder / "out", data


@pytest.mark.parametrize(("form", "name"), [("onnx", "model.onnx"), ("onnx-int8", "model_quantized.onnx")])
def test_a_model_is_exported_and_answers_so(trained: tuple[Path, Path], albert: Albert, form: str, name: str) -> None:
    folder, data = trained
    done = albert("export", folder, "--to", form, "--dev", data)
    assert done.returncode == 0, done.stderr
    predictor = Predictor.load(folder, precision="fp32")
    features, _ = predictor.features([Example("a lovely lamp"), Example("a broken chair, number 3")])
    found = OnnxEngine(folder / "onnx" / name).exits(features).logits
    for ours, theirs in zip(predictor.engine.logits(features), found, strict=True):
        assert ours.argmax() == theirs.argmax()
    assert predictor("a lovely lamp") == Predictor.load(folder, precision="fp32")("a lovely lamp")


def test_a_folder_for_openvino_answers_so(trained: tuple[Path, Path], albert: Albert, tmp_path: Path) -> None:
    folder, data = trained
    out = tmp_path / "openvino"
    command = ("export", folder, "--to", "openvino", "--dev", data, "-o", out)
    done = albert(*command)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {
        "openvino_model.xml", "openvino_model.bin", "config.json", "spiece.model", "tokenizer.json",
        "tokenizer_config.json", "manifest.json",
    }  # fmt: skip
    weights = (folder / "model.safetensors").stat().st_size
    assert (out / "openvino_model.bin").stat().st_size < 1.1 * weights
    predictor = Predictor.load(folder, precision="fp32")
    features, _ = predictor.features([Example("a lovely lamp"), Example("a broken chair, number 3")])
    found = OpenVinoEngine(out / "openvino_model.xml").exits(features).logits
    for ours, theirs in zip(predictor.engine.logits(features), found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    again = albert(*command)
    assert again.returncode == 2
    assert "expected a new or empty folder" in again.stderr


def test_a_form_that_scores_lower_is_refused(
    trained: tuple[Path, Path], albert: Albert, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, data = trained
    (folder / "onnx" / "model.onnx").unlink(missing_ok=True)
    monkeypatch.setattr("albert.export.runtimes.OnnxEngine._read", lambda self, values: -values[0])
    refused = albert("export", folder, "--to", "onnx", "--dev", data)
    assert refused.returncode == 66, refused.stderr
    assert "--force" in refused.stderr
    assert not (folder / "onnx" / "model.onnx").exists()
    assert albert("export", folder, "--to", "onnx", "--dev", data, "--force").returncode == 0


def test_a_folder_for_openvino_that_scores_lower_is_refused(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("albert.export.runtimes.OpenVinoEngine._read", lambda self, values: -values[0])
    with pytest.raises(AlbertError, match=r"openvino of .* --force"):
        export_openvino(*trained, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_the_graph_does_not_know_is_refused(tmp_path: Path) -> None:
    save_model(model("sequence_classification", attention_window=8), tmp_path)
    with pytest.raises(AlbertError, match=r"--to onnx: expected a network without .* got attention_window=8"):
        export_onnx(tmp_path, "none.csv")
    assert not (tmp_path / "onnx").exists()
    with pytest.raises(AlbertError, match=r"--to openvino: .* got attention_window=8"):
        export_openvino(tmp_path, "none.csv", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_the_extra_there_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(AlbertError, match=r"needs onnx.*\[onnx\]") as refused:
        export_onnx(tmp_path, "none.csv")
    assert refused.value.kind is ErrorKind.CONFIG
