"""The scripts of `albert export --to web` in node: every head answers as `albert serve` does with the same weights."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from albert.compute.precision import has_vnni
from albert.compute.quantized import load_ranges
from albert.engine import Engine
from albert.export.web import ENGINE
from albert.predict.open import open_model
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.service import Service
from albert.storage.files import INT8
from albert.text.tokenizer import AlbertTokenizer
from conftest import ROOT
from served import Running, write_model
from webs import asked, unpacked, write_site

pytestmark = pytest.mark.ci  # seconds each

TEXTS = [
    "A plain sentence.", "x", "Ada Lovelace met Charles Babbage in London, in 1843, and wrote notes " * 6,
    "naïve ﬁle — ΣΑΣ, 東京の天気 😀 92,000,",
]  # fmt: skip
TOKENIZE = ("/tokenize", {"inputs": TEXTS[3]})
LABELS = [("/predict", {"inputs": TEXTS[0]}), ("/predict", {"inputs": ["one", "and another"]}),
          ("/predict", {"inputs": [[text] for text in TEXTS]}), TOKENIZE]  # fmt: skip
RERANK = ("/rerank", {"query": "a question", "texts": TEXTS})
REQUESTS: dict[str, list[tuple[str, Any]]] = {
    "classification": LABELS,
    "multilabel": LABELS,
    "regression": [*LABELS, RERANK],
    "similarity": [("/similarity", {"inputs": {"source_sentence": "a lamp", "sentences": TEXTS}}), RERANK, TOKENIZE,
                   *(("/classify", {"inputs": texts, "labels": {"a_lamp": "", "London": "a city, large"}})
                     for texts in (TEXTS, TEXTS[0]))],
    "ner": [("/entities", {"inputs": TEXTS}), ("/entities", {"inputs": TEXTS[2]}), TOKENIZE],
    "qa": [("/answer", {"question": "Who?", "context": text, "top_k": 3}) for text in TEXTS[1:]],
    "choice": [("/answer", {"question": "He _ it.", "context": text, "choices": ["saw", "wrote"], "top_k": 9})
               for text in TEXTS],
}  # fmt: skip


def served(folder: Path, precision: str, requests: list[tuple[str, Any]]) -> list[Any]:
    """What the server says. In int8, values between products are float32, as in WebAssembly."""
    model = open_model(folder, precision="fp32")
    if precision == "int8":
        model.engine = Engine(model.model, "fp32", calibration=load_ranges(folder / INT8))
    with Running(Service([Hosted(Source("model", ""), model)])) as running, running.client() as client:
        return [client.post(path, json=body).raise_for_status().json() for path, body in requests]


def assert_alike(mine: Any, theirs: Any, tolerance: float) -> None:
    """The same but for numbers, which are near."""
    if isinstance(theirs, dict):
        assert mine.keys() == theirs.keys()
        for key in theirs:
            assert_alike(mine[key], theirs[key], tolerance)
    elif isinstance(theirs, list):
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            assert_alike(one, other, tolerance)
    elif isinstance(theirs, float):
        assert mine == pytest.approx(theirs, abs=tolerance)
    else:
        assert mine == theirs


@pytest.mark.parametrize("task", REQUESTS)
def test_answers_are_the_server_s(tokenizer: AlbertTokenizer, tmp_path: Path, task: str) -> None:
    site = write_site(tmp_path, task, tokenizer.with_case_marks(task == "ner"))
    folder = unpacked(site, tmp_path / "unpacked")
    whole = [("int8", 0.02)] if has_vnni() else []  # else the server's weights have steps twice as wide
    for precision, tolerance in [("fp32", 1e-4), *whole]:
        about, answers = asked(site, REQUESTS[task], precision)
        assert (about["task"], about["precision"], about["instructions"]) == (task, precision, "portable")
        for answer, wanted in zip(answers, served(folder, precision, REQUESTS[task]), strict=True):
            assert_alike(answer["value"], wanted, tolerance)


def test_widths_that_registers_do_not_divide(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    site = write_site(tmp_path, "classification", tokenizer, hidden_size=36, num_attention_heads=6)
    about, [answer] = asked(site, LABELS[:1], "fp32")
    assert about["instructions"] == "scalar"
    [wanted] = served(unpacked(site, tmp_path / "unpacked"), "fp32", LABELS[:1])
    assert_alike(answer["value"], wanted, 1e-4)


def test_masks_are_filled(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    """Of a pre-trained model beside the page's scripts: there is no export of one."""
    requests = [("/fill-mask", {"inputs": "🎓 A [MASK] is here.", "top_k": 4}),
                ("/fill-mask", {"inputs": ["[MASK]a [MASK] b"], "top_k": 2})]  # fmt: skip
    site = write_site(tmp_path, "classification", tokenizer)
    folder = write_model(tmp_path / "words", None, tokenizer)
    for name in ("config.json", "model.safetensors"):
        (site / "model" / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes(), 1))
    _, answers = asked(site, requests, "fp32")
    for answer, wanted in zip(answers, served(folder, "fp32", requests), strict=True):
        assert_alike(answer["value"], wanted, 1e-4)


def test_refusals_are_one_line_with_their_code(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    site = write_site(tmp_path, "ner", tokenizer)
    _, [pair, after] = asked(site, [("/predict", {"inputs": ["a", "pair"]}), ("/entities", {"inputs": "fine"})])
    assert pair == {"error": "error[bad-data] entities: expected one text a row, got a pair of texts", "code": 65}
    assert "value" in after  # the model is as it was


def test_texts_that_are_cut_are_counted(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    site = write_site(tmp_path, "classification", tokenizer)
    _, answers = asked(site, [("/predict", {"inputs": [[TEXTS[2] * 9], ["short"]]})])
    assert answers[0]["cut"] == 1


@pytest.mark.slow  # a minute of compiling
@pytest.mark.timeout(1800)
def test_the_engine_is_that_of_the_sources(tmp_path: Path) -> None:
    if shutil.which("emcmake") is None or shutil.which("cmake") is None:
        pytest.skip("needs emscripten and cmake")
    version = subprocess.run(["emcc", "--version"], capture_output=True, text=True, check=True).stdout.split()
    if "3.1.6" not in version:
        pytest.skip("the engine was made by emscripten 3.1.6")
    for command in (["emcmake", "cmake", "-S", ROOT / "lite", "-B", tmp_path], ["cmake", "--build", tmp_path]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    shipped = ROOT / "src" / "albert" / "export" / "page" / ENGINE
    made = (tmp_path / "albert_lite.wasm").read_bytes()
    assert made == gzip.decompress(shipped.read_bytes()), "the sources have changed: make web"
