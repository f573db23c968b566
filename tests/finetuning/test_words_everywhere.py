"""A model with words beside it answers alike in files, over HTTP and on the command line, and in its other forms."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from test_hybrid import trained

from albert.errors import AlbertError, ErrorKind
from albert.export.int8 import export_int8
from albert.export.layouts import convert
from albert.linear import NAME
from albert.predict.files import score_file
from albert.predict.predictor import Predictor
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.service import Service
from served import Running

TEXTS = ["lovely warm bright", "nothing of this was seen", "awful dull cold", "the film was", "bright on monday"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("words"), hybrid=True, cascade=True, cascade_budget=0.02)


@pytest.fixture(scope="module")
def said(model: Path) -> list[tuple[str, float]]:
    return [(best["label"], best["score"]) for best in Predictor.load(model)(TEXTS)]


def test_files_and_http_answer_as_the_predictor_does(
    model: Path, said: list[tuple[str, float]], tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    score_file(Predictor.load(model), str(tmp_path / "texts.txt"), str(tmp_path / "out.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["prediction"], pytest.approx(row["score"], abs=1e-4)) for row in rows] == said
    with Running(Service([Hosted.load(Source.parse(str(model)))])) as running, running.client() as client:
        for batch in (TEXTS, TEXTS[:1], TEXTS[1:2]):
            found = asked(client, batch)
            assert found == [(label, pytest.approx(score, abs=1e-4)) for label, score in said[: len(batch)]] or (
                batch == TEXTS[1:2] and found == [(said[1][0], pytest.approx(said[1][1], abs=1e-4))]
            )


def asked(client: httpx.Client, texts: list[str]) -> list[tuple[str, float]]:
    response = client.post("/predict", json={"inputs": [[text] for text in texts]})
    assert response.status_code == 200, response.text
    return [(each[0]["label"], each[0]["score"]) for each in response.json()]


def test_other_forms_keep_the_words_or_refuse_them(model: Path, said: list[tuple[str, float]], tmp_path: Path) -> None:
    convert(model, tmp_path / "half", dtype="bfloat16")
    assert [best["label"] for best in Predictor.load(tmp_path / "half")(TEXTS)] == [label for label, _ in said]
    export_int8(model, str(model.parent / "data.jsonl"), force=True)
    assert (model / NAME).is_file()
    assert Predictor.load(model).words is not None
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxscript"):
        from albert.export.onnx import export_onnx

        with pytest.raises(AlbertError, match="linear model on words") as caught:
            export_onnx(model)
        assert caught.value.kind is ErrorKind.MODEL


def test_full_depth_lets_the_network_read_every_text(model: Path) -> None:
    whole = Predictor.load(model, early_exit=False)
    assert whole.words is not None
    assert whole.words.cascade is None
    assert whole.words.hybrid is not None
    assert whole.identity() != Predictor.load(model).identity()


@pytest.mark.ci
def test_the_command_line_trains_and_distills(model: Path, tmp_path: Path) -> None:
    data = model.parent / "data.jsonl"
    small = ["--size", "tiny", "--set", "epochs=1", "--set", "num_hidden_layers=1", "--json", "--quiet"]

    def albert(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "albert", *map(str, arguments)], capture_output=True, text=True)

    done = albert("train", data, "-o", tmp_path / "model", "--hybrid", "--cascade", *small)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"]["accuracy"] > 0.9
    done = albert("distill", data, "--teacher", tmp_path / "model", "-o", tmp_path / "student", *small)
    assert done.returncode == 0, done.stderr
    done = albert("distill", data, "--teacher", tmp_path / "none", "-o", tmp_path / "other", *small)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
