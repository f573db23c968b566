"""Bounds of answers, of logs and of descriptors; the table of all limits in docs/serving.md."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

from albert.cli.app import app
from albert.predict.summary import Sentence, summarize
from albert.serve.core import logs
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.limits import Limits
from albert.serve.core.logs import Lines, Tally
from albert.serve.core.service import Service
from albert.serve.http.accept import within_descriptors
from albert.text.tokenizer import AlbertTokenizer
from conftest import ROOT
from served import PRETRAINED, Running, Server, write_model

LIMITS = Limits(max_pieces=500, max_sentences=20, max_filled=20_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> Path:
    folder = tmp_path_factory.mktemp("limits")
    for name, task in (("ner", "ner"), (PRETRAINED, None)):
        write_model(folder / name, task, tokenizer)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    models = [Hosted.load(Source(name, str(folder / name))) for name in ("ner", PRETRAINED)]
    with Running(Service(models, limits=LIMITS)) as running:
        yield running


# --- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/tokenize", {"inputs": "a b " * 300}, "500 pieces"),
        ("/tokenize", {"inputs": ["a b " * 60] * 5}, "500 pieces"),
        ("/tokenize", {"inputs": [". " * 30] * 20, "model": PRETRAINED}, "500 pieces"),
        ("/entities", {"inputs": ["a b " * 60] * 5}, "500 pieces"),
        ("/entities", {"inputs": "a b " * 300, "aggregation": "none"}, "500 pieces"),
        ("/summarize", {"inputs": "Go on! " * 30}, "20 sentences"),
        ("/summarize", {"inputs": "One. Two? " * 11, "sentences": 1}, "20 sentences"),
        ("/summarize", {"inputs": "好。" * 40, "model": PRETRAINED}, "20 sentences"),
        ("/fill-mask", {"inputs": "[MASK] " * 40, "top_k": 10, "model": PRETRAINED}, "20,000 characters"),
        ("/fill-mask", {"inputs": ["a [MASK] b" * 4] * 8, "top_k": 100, "model": PRETRAINED}, "20,000 characters"),
        ("/fill-mask", {"inputs": "word " * 50 + "[MASK]", "top_k": 100, "model": PRETRAINED}, "20,000 characters"),
    ],
)  # fmt: skip
def test_answers_are_bounded(server: Running, path: str, body: dict[str, object], said: str) -> None:
    with server.client() as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 413
    assert said in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {"inputs": ["a b " * 30, ""]}),
        ("/entities", {"inputs": ["a b " * 30] * 2}),
        ("/summarize", {"inputs": "Go on! " * 20}),
        ("/fill-mask", {"inputs": "[MASK] " * 10, "top_k": 3, "model": PRETRAINED}),
    ],
)
def test_answers_within_the_bounds_are_given(server: Running, path: str, body: dict[str, object]) -> None:
    with server.client() as client:
        assert client.post(path, json=body).status_code == 200


def test_text_work_that_has_no_turn_ends_in_time(folder: Path) -> None:
    service = Service([Hosted.load(Source("ner", str(folder / "ner")))], limits=replace(LIMITS, timeout=0.5))
    busy = threading.Event()
    with Running(service) as running, running.client() as client:
        for _ in range(2):
            service._text.submit(busy.wait, 20)
        try:
            answer = client.post("/tokenize", json={"inputs": ["a", "b"]})
        finally:
            busy.set()
    assert answer.status_code == 504


def test_many_sentences_take_little() -> None:
    parts = [Sentence(f"s{i}", 3 * i, 3 * i + 2) for i in range(Limits().max_sentences)]
    vectors = np.random.default_rng(0).normal(size=(len(parts), 32)).astype(np.float32)
    begun = time.process_time()
    assert len(summarize(parts, vectors, 100)) == 100
    assert time.process_time() - begun < 3


# --- logs --------------------------------------------------------------------------------------------------


def test_a_log_that_is_full_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    with open(write, "w", buffering=1) as pipe:
        monkeypatch.setattr("sys.stderr", pipe)
        lines = Lines(most=50)
        monkeypatch.setattr(logs, "_LINES", lines)
        begun = time.monotonic()
        for number in range(5000):
            logs.log("info", "flood", number=number, filler="x" * 200)
        logs.flush(0.1)
        assert time.monotonic() - begun < 5
        assert lines.dropped > 0
        found: list[dict[str, Any]] = []
        with open(read, encoding="utf-8") as reader:
            while sum(line.get("count", 1) for line in found) < 5000:
                found.append(json.loads(reader.readline()))
    assert sum(line.get("count", 1) for line in found) == 5000
    assert sum(line.get("count", 0) for line in found) > 3000


def test_what_happens_often_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(logs, "log", lambda level, event, count: told.append(count))
    tally = Tally("info", "often", seconds=0.2)
    for _ in range(1000):
        tally.add()
    assert told == [1]
    time.sleep(0.25)
    tally.add()
    assert told == [1, 1000]


@pytest.mark.ci
def test_a_full_pipe_keeps_no_server_from_answering_and_stopping(folder: Path) -> None:
    """A pipe that is open and that nobody reads: a log shipper that hangs. The address is another one of loopback."""
    with socket.create_server(("127.0.0.2", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "albert", "serve", str(folder / "ner"), "--port", str(port),
         "--host", "127.0.0.2", "--drain", "5"],
        stderr=subprocess.PIPE,
    )  # fmt: skip
    server = Server(process, f"http://127.0.0.2:{port}")
    assert process.stderr is not None
    try:
        process.stderr.readline()  # it listens
        with server.client() as client:
            for _ in range(400):  # 300 bytes of log each, 65,536 fit
                assert client.get("/info").status_code == 200
            assert client.get("/info", headers={"host": "evil.example"}).status_code == 403
        assert server.stop() == 0
    finally:
        process.kill()
        process.stderr.close()


# --- descriptors -------------------------------------------------------------------------------------------


def test_connections_heed_the_number_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    for most, least, greatest in ((300, 4, 300), (100, 4, 4), (1_000_000, 4096, 4096)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, most=most: (most, most))
        monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
        assert least <= within_descriptors(Limits()).max_connections <= greatest


@pytest.mark.parametrize("most", [pytest.param(220, marks=pytest.mark.slow), 20])
def test_where_descriptors_run_out_others_are_answered(folder: Path, most: int) -> None:
    """With 220 the server keeps within them; with 20 spare ones it meets the end of them."""
    program = [str(Path(__file__).with_name("narrow.py")), str(most)]
    with Server.start(folder / "ner", "--drain", 5, program=program) as server:
        silent = [socket.create_connection(server.address) for _ in range(300)]
        with server.client() as client:
            begun = time.monotonic()
            assert client.get("/live").status_code == 200
            assert time.monotonic() - begun < 9  # before the silent ones' time is over
        assert server.stop() == 0
        for connection in silent:
            connection.close()
        assert len(server.lines) < 100


# --- the document ------------------------------------------------------------------------------------------


def test_the_document_tells_every_limit() -> None:
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([\d,.]+)[^|]* \| `(--[a-z-]+)` \|", text, re.MULTILINE)
    told = {name: (float(value.replace(",", "")), flag) for name, value, flag in rows}
    assert {name: value for name, (value, _) in told.items()} == {
        field.name: float(field.default)
        for field in fields(Limits)  # type: ignore[arg-type]
    }
    options = {option: each for each in get_command(app).commands["serve"].params for option in each.opts}  # type: ignore[attr-defined]
    for name, (value, flag) in told.items():
        assert flag in options, name
        assert flag == "--limit" or options[flag].default == value
