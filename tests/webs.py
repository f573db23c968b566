"""What `albert export --to web` writes, for the tests: random models of each task, node, and a static web server."""

from __future__ import annotations

import functools
import gzip
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

from albert.data.reading import DataSource
from albert.export.web import export_web
from albert.text.tokenizer import AlbertTokenizer
from served import write_model

# Rows of a labelled file for each task. Random models are exported whatever they score.
ROWS: dict[str, list[dict[str, Any]]] = {
    "classification": [{"text": "a good lamp", "label": "good"}, {"text": "a bad chair", "label": "bad"}],
    "multilabel": [{"text": "a threat", "label": ["threat"]}, {"text": "nothing", "label": []}],
    "regression": [{"text": "a good lamp", "label": 1.5}, {"text": "a bad chair", "label": -0.5}],
    "similarity": [{"text": "a lamp", "text_pair": "a light", "label": 4.0},
                   {"text": "a cat", "text_pair": "a boat", "label": 1.0}],
    "qa": [{"question": "Who met Bob?", "context": "Ada met Bob.", "answers": {"text": ["Ada"], "answer_start": [0]}}],
    "choice": [{"text": "Ada met Bob.", "text_pair": "Who met Bob?", "choices": ["Ada", "Eve"], "label": 0}],
}  # fmt: skip
COLUMNS: dict[str, dict[str, str]] = {
    "similarity": {"text_pair": "text_pair"},
    "qa": {"text": "question", "text_pair": "context", "label": "answers"},
    "choice": {"text_pair": "text_pair", "choices": "choices"},
}


def write_site(folder: Path, task: str, tokenizer: AlbertTokenizer, **sizes: Any) -> Path:
    """The page of a random model of a task, in `folder`/site."""
    model = write_model(folder / "model", task, tokenizer, **sizes)
    export_web(model, source(folder, task), out=folder / "site", force=True)
    return folder / "site"


def source(folder: Path, task: str) -> DataSource:
    """A labelled file."""
    if task == "ner":
        (folder / "dev.conll").write_text("Ada B-PER\nmet O\nBob B-PER\n\n" * 4)
        return DataSource(folder / "dev.conll")
    dev = folder / "dev.jsonl"
    dev.write_text("".join(json.dumps(row) + "\n" for row in ROWS[task] * 4), encoding="utf-8")
    return DataSource(dev, **{"text": "text", "label": "label", **COLUMNS.get(task, {})})


def unpacked(site: Path, folder: Path) -> Path:
    """A model folder with the very weights of a page, as `albert` reads them."""
    folder.mkdir()
    for path in (site / "model").glob("*.gz"):
        (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    stored = safetensors.numpy.load_file(folder / "model.safetensors")
    scales = {name.removesuffix(".scales"): stored.pop(name) for name in list(stored) if name.endswith(".scales")}
    floats = {name: values.astype("float32") for name, values in stored.items()}
    for name, column in scales.items():
        floats[name] *= column.astype("float32")[:, None]
    safetensors.numpy.save_file(floats, folder / "model.safetensors")
    return folder


_SCRIPT = """
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { answer } from "./page/answers.js";
import { open } from "./page/lite.js";

const { requests, precision } = JSON.parse(readFileSync(0, "utf8"));
const { files } = JSON.parse(readFileSync("model/about.json", "utf8"));
const read = (path) => new Uint8Array(gunzipSync(readFileSync(path)));
const named = files.map((name) => [name.replace(/\\.gz$/, ""), read(`model/${name}`)]);
const model = await open(read("page/albert_lite.wasm.gz"), Object.fromEntries(named), precision);
const answered = (path, body) => {
  try {
    return answer(model, path, body);
  } catch (error) {
    return { error: error.message, code: error.code };
  }
};
console.log(JSON.stringify({ about: model.about, answers: requests.map(([path, body]) => answered(path, body)) }));
"""


def asked(site: Path, requests: Sequence[tuple[str, Any]], precision: str = "int8") -> tuple[dict[str, Any], list[Any]]:
    """What the scripts of a page say in node: about the model, and to each request."""
    if shutil.which("node") is None:
        pytest.skip("needs node")
    (site.parent / "package.json").write_text('{"type": "module"}')  # browsers know by the tag that they are modules
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", _SCRIPT], cwd=site, capture_output=True, text=True, check=False,
        input=json.dumps({"requests": requests, "precision": precision}), timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return told["about"], told["answers"]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def static(folder: Path) -> Iterator[str]:
    """The address of a static web server over a folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(30)
