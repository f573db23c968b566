"""`/generate`, `/translate` and `/predict` of models that write: answers, streams, limits, and clients that leave."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from pydantic.fields import FieldInfo

import albert
from albert.errors import AlbertError
from albert.generation import GenerationOptions
from albert.model import AlbertForText2Text
from albert.predict.draft import Draft
from albert.predict.writer import Writer
from albert.serve.core.hosted import Hosted, HostedWriter, Source
from albert.serve.core.keys import Keys, RateLimit, new_key
from albert.serve.core.limits import Limits
from albert.serve.core.service import Service
from albert.serve.http.texts import GenerateRequest
from albert.text.tokenizer import AlbertTokenizer
from rewriting import write_model
from served import Running, Server, read_all
from served import write_model as write_other

TEXTS = ["drei Null", "eins Neun Neun", "vier"]
DRAWN = {"sample": True, "temperature": 1.4, "sampling_top_k": 9, "top_p": 0.9, "seed": 5}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"beam": 3, "length_penalty": -1.0, "early_stop": False},
    DRAWN,
    {"no_repeat_ngram": 2, "repetition_penalty": 1.3},
    {"beam": 2, "words": ["9-", "Null"], "max_length": 12},
    {"prefix": "9-", "min_length": 5, "max_length": 8, "token_scores": True, "alignments": True},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("written") / "model")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> Path:
    return write_other(tmp_path_factory.mktemp("labels") / "labels", "classification", tokenizer)


def hosted(*folders: Path) -> list[Hosted]:
    return [Hosted.load(Source(folder.name, str(folder))) for folder in folders]


@pytest.fixture(scope="module")
def running(folder: Path, other: Path) -> Iterator[Running]:
    with Running(Service(hosted(folder, other), workers=2)) as running:
        yield running


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client


@pytest.fixture(scope="module")
def writer(folder: Path) -> Writer:
    loaded = albert.load(folder)
    assert isinstance(loaded, Writer)
    return loaded


def post(client: httpx.Client, path: str, status: int = 200, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


def events(client: httpx.Client, path: str, **body: Any) -> list[tuple[str, Any]]:
    """The names and data of a stream's events."""
    response = client.post(path, json={**body, "stream": True})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    parts = [part.split("\n") for part in response.text.removesuffix("\n\n").split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]


def same(one: Any, other: Any) -> bool:
    """The same answers, up to the rounding of scores in other batches."""
    if isinstance(one, float):
        return one == pytest.approx(other, abs=1e-4, rel=1e-5)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


# --- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_gives_what_python_gives(client: httpx.Client, writer: Writer, options: dict[str, Any]) -> None:
    wanted = [writer.writing(**options)(text) for text in TEXTS]
    assert same(post(client, "/generate", inputs=TEXTS, **options), wanted)
    assert same(post(client, "/generate", inputs=TEXTS[0], **options), wanted[0])


def test_requests_that_are_written_together_get_what_each_gets_alone(
    running: Running, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = list[int]()
    step_each = Draft.step_each

    def watched(drafts: Sequence[Draft]) -> None:
        together.append(len(drafts))
        step_each(drafts)

    def ask(text: str, options: dict[str, Any]) -> Any:
        with running.client() as client:
            return post(client, "/generate", inputs=text, **options)

    monkeypatch.setattr(Draft, "step_each", watched)
    monkeypatch.setattr("albert.serve.core.desk._TURN", 0.0)  # so that texts are under way for some turns
    asked = [(text, options) for options in OPTIONS for text in TEXTS]
    with ThreadPoolExecutor(len(asked)) as clients:
        found = list(clients.map(ask, *zip(*asked, strict=True)))
    assert max(together) > 2
    for (text, options), answer in zip(asked, found, strict=True):
        assert same(answer, writer.writing(**options)(text))


def test_several_texts_for_each(client: httpx.Client, writer: Writer) -> None:
    for options in ({"beam": 3}, {"sample": True, "seed": 2}):
        wanted = [writer.writing(**options)(text, top_k=3) for text in TEXTS]
        assert same(post(client, "/generate", inputs=TEXTS, top_k=3, **options), wanted)
        assert any(len(texts) > 1 for texts in wanted)


def test_translate_is_generate_with_a_beam(client: httpx.Client, writer: Writer) -> None:
    wanted = [writer.writing(beam=4)(text) for text in TEXTS]
    assert same(post(client, "/translate", inputs=TEXTS), wanted)
    assert post(client, "/translate", inputs=TEXTS, beam=1) == post(client, "/generate", inputs=TEXTS)


def test_predict_gives_the_default_answer(client: httpx.Client, writer: Writer) -> None:
    assert same(post(client, "/predict", inputs=TEXTS[0]), writer(TEXTS[0]))
    assert same(post(client, "/predict", inputs=[[text] for text in TEXTS]), [writer(text) for text in TEXTS])
    assert post(client, "/predict", inputs=TEXTS[0]) == post(client, "/", inputs=TEXTS[0])
    assert "labels" in post(client, "/predict", 422, inputs="a", raw_scores=True)["error"]


def test_the_server_says_what_it_writes_with(client: httpx.Client) -> None:
    info = client.get("/info").json()
    assert info["model_type"] == {"text2text": {}}
    assert {"/generate", "/translate", "/predict", "/tokenize"} == set(info["endpoints"])
    assert client.get("/health").status_code == 200


def test_long_sources_are_cut_and_told_or_refused(client: httpx.Client) -> None:
    body = {"inputs": ["eins " * 60, "vier"]}
    assert client.post("/generate", json=body).headers["x-truncated-inputs"] == "1"
    post(client, "/generate", 413, **body, truncate=False)


def test_parameters_of_other_clients(client: httpx.Client) -> None:
    wanted = [text["text"] for (text,) in post(client, "/generate", inputs=TEXTS, beam=3, max_length=9)]
    found = post(client, "/", inputs=TEXTS, parameters={"num_beams": 3, "max_new_tokens": 9})
    assert [text["generated_text"] for text in found] == wanted
    assert "no option" in post(client, "/", 422, inputs="a", parameters={"stop": ["x"]})["error"]


# --- streams -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [options for options in OPTIONS if "beam" not in options])
def test_streamed_pieces_are_the_text(
    client: httpx.Client, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("albert.serve.core.desk._TURN", 0.0)  # a piece a turn
    *pieces, (last, answer) = events(client, "/generate", inputs=TEXTS, **options)
    assert last == "answer"
    assert answer == post(client, "/generate", inputs=TEXTS, **options)
    assert {name for name, _ in pieces} == {"piece"}
    assert len(pieces) > 3 * len(TEXTS)
    for index, (best,) in enumerate(answer):
        said = [piece["text"] for _, piece in pieces if piece["index"] == index]
        assert "".join(said) == best["text"]
        assert all(said)


@pytest.mark.parametrize(("path", "options"), [("/translate", {"top_k": 2}), ("/generate", {**DRAWN, "top_k": 3})])
def test_where_texts_do_not_grow_they_come_as_they_end(
    client: httpx.Client, path: str, options: dict[str, Any]
) -> None:
    *ended, (last, answer) = events(client, path, inputs=TEXTS, **options)
    assert last == "answer"
    assert answer == post(client, path, inputs=TEXTS, **options)
    assert {name for name, _ in ended} == {"text"}
    for index, texts in enumerate(answer):
        found = {text["text"]: text["score"] for _, text in ended if text["index"] == index}
        assert all(same(found[text["text"]], text["score"]) for text in texts)


def test_a_single_text_streams_a_single_answer(client: httpx.Client) -> None:
    *pieces, (_, answer) = events(client, "/generate", inputs="vier")
    assert "".join(piece["text"] for _, piece in pieces) == answer[0]["text"]
    assert answer == post(client, "/generate", inputs="vier")


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"inputs": []}, 422, "inputs: expected at least one"),
        ({"inputs": [["a", "b"]]}, 422, "inputs"),
        ({"inputs": ["a"] * 33}, 413, "33 inputs, the maximum is 32"),
        ({"inputs": "a " * 9000}, 413, "characters"),
        ({"inputs": "a", "beam": 65}, 422, "beam"),
        ({"inputs": "a", "beam": 2, "sample": True}, 422, "beam: expected 1 where pieces are drawn"),
        ({"inputs": "a", "top_k": 2}, 422, "2 answers a text: expected at most the beam's 1"),
        ({"inputs": "a", "temperature": 0.5}, 422, "temperature: expected sample=True beside it"),
        ({"inputs": "a", "top_p": 0}, 422, "top_p"),
        ({"inputs": "a", "min_length": 9, "max_length": 3}, 422, "min_length: expected at most the max_length 3"),
        ({"inputs": "a", "prefix": "secret Ж9"}, 422, "prefix: expected characters that the vocabulary has"),
        ({"inputs": "a", "words": ["secret Ж9"]}, 422, "words: expected characters that the vocabulary has"),
        ({"inputs": "a", "words": ["9-9-9"], "max_length": 2}, 422, "words: expected at most 2 pieces altogether"),
        ({"inputs": "a", "words": [" "]}, 422, "words: expected a list of words, none of them empty"),
        ({"inputs": "a", "prefix": "9-" * 40}, 422, "prefix: expected fewer than 31 pieces"),
        ({"inputs": "a", "max_length": "9"}, 422, "max_length"),
        ({"inputs": "a", "seed": -1}, 422, "seed"),
        ({"inputs": "a", "model": "labels"}, 424, "does not do /generate"),
        ({"inputs": ["a"] * 32, "beam": 64}, 413, "63,488 pieces (texts x beam x length), the maximum is 32,768"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_does_not_fit_is_one_clear_refusal(
    client: httpx.Client, body: dict[str, Any], status: int, said: str, stream: bool
) -> None:
    told = post(client, "/generate", status, **body, stream=stream)
    assert set(told) == {"error", "error_type"}
    assert said in told["error"]
    assert "secret" not in told["error"]


def test_the_bounds_are_those_of_python() -> None:
    names = GenerationOptions.__dataclass_fields__.keys() & GenerateRequest.model_fields.keys()
    assert names == GenerationOptions.__dataclass_fields__.keys()
    for name in names:
        for bound, step in _bounds(GenerateRequest.model_fields[name]):
            beside = {"max_length": 65_536} if name == "min_length" else {"min_length": 0}
            beside |= {"sample": True} if name in ("temperature", "sampling_top_k", "top_p") else {}
            GenerationOptions(**{**beside, name: bound})
            with pytest.raises(AlbertError):
                GenerationOptions(**{**beside, name: bound + step})


def _bounds(field: FieldInfo) -> Iterator[tuple[float, float]]:
    """Each bound that is allowed itself, and a step beyond it."""
    for bound in field.metadata:
        for name, step in (("ge", -1), ("le", 1)):
            if hasattr(bound, name):
                yield getattr(bound, name), step


# --- time, room and clients that leave ---------------------------------------------------------------------


class Steps:
    """Makes each step of a draft last, and counts them."""

    def __init__(self, patch: pytest.MonkeyPatch, seconds: float) -> None:
        self.count = 0
        step = Draft.step

        def slow(draft: Draft) -> None:
            self.count += 1
            time.sleep(seconds)
            step(draft)

        patch.setattr(Draft, "step", slow)


def idle(service: Service, seconds: float = 5.0) -> bool:
    """Whether the desk gets empty within this time."""
    end = time.monotonic() + seconds
    while (service.desk._writing or service.desk._waiting or service.under_way) and time.monotonic() < end:
        time.sleep(0.01)
    return not (service.desk._writing or service.desk._waiting or service.under_way)


LONG = {"inputs": TEXTS[0], "min_length": 31, "max_length": 31}


@pytest.mark.parametrize("stream", [False, True])
def test_work_ends_with_a_client_that_leaves(running: Running, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, 0.03)
    body = json.dumps({**LONG, "stream": stream}).encode()
    head = b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with running.connect() as connection:
        connection.sendall(head % len(body) + body)
        if stream:
            assert b"event: piece" in connection.recv(65_536) + connection.recv(65_536)
        while steps.count < 3:
            time.sleep(0.01)
    assert idle(running.service)
    assert steps.count < 20


@pytest.mark.ci
def test_a_stream_past_its_time_ends_with_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Steps(monkeypatch, 0.05)
    service = Service(hosted(folder), limits=Limits(timeout=0.6))
    with Running(service) as running, running.client() as client:
        *pieces, (last, error) = events(client, "/generate", **LONG)
        assert pieces
        assert last == "error"
        assert error == {"error": "not done in time", "error_type": "Timeout"}
        assert idle(service)
        assert 'te_request_failure{err="timeout"} 1.0' in client.get("/metrics").text
        assert post(client, "/generate", 504, **LONG)["error_type"] == "Timeout"


def test_requests_wait_for_room_in_turn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, gate = Draft.step, threading.Event()
    monkeypatch.setattr(Draft, "step", lambda draft: gate.wait(10) and step(draft))
    service = Service(hosted(folder), limits=Limits(max_written=60))  # one of 31 pieces at a time
    desk, ended = service.desk, list[int]()
    with Running(service) as running:

        def ask(number: int) -> None:
            with running.client() as client:
                post(client, "/generate", **LONG)
            ended.append(number)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for number, thread in enumerate(threads):
            thread.start()
            while len(desk._writing) + len(desk._waiting) <= number:
                time.sleep(0.01)
        assert [place.size for place in desk._writing.values()] == [31]
        assert len(desk._waiting) == 3
        gate.set()
        for thread in threads:
            thread.join()
        assert ended == [0, 1, 2, 3]
        assert idle(service)


@pytest.mark.ci
def test_what_would_not_be_done_in_time_is_refused_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Steps(monkeypatch, 0.02)
    service = Service(hosted(folder), limits=Limits(timeout=2, max_written=31))
    with Running(service) as running, running.client() as client:
        post(client, "/generate", **LONG)  # now it knows how long one takes
        statuses: list[int] = []
        threads = [
            threading.Thread(target=lambda: statuses.append(client.post("/generate", json=LONG).status_code))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 429}
        assert idle(service)


@pytest.mark.ci
def test_others_are_answered_while_a_long_text_is_written(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, 0.03)
    with running.client() as client, running.client() as second:
        threads = [threading.Thread(target=lambda: post(second, "/generate", **LONG)) for _ in range(3)]
        for thread in threads:
            thread.start()
        while steps.count < 6:
            time.sleep(0.01)
        before = steps.count
        post(client, "/predict", inputs="a", model="labels")
        assert steps.count - before < 12
        for thread in threads:
            thread.join()


def test_a_slow_reader_keeps_no_room(folder: Path) -> None:
    """Its text is written while it reads nothing."""
    service = Service(hosted(folder))
    body = json.dumps({**LONG, "inputs": TEXTS, "stream": True}).encode()
    head = b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    with Running(service) as running, running.connect() as connection:
        connection.sendall(head % len(body) + b"Connection: close\r\n\r\n" + body)
        assert idle(service)
        assert b"event: answer" in read_all(connection)


def test_weights_that_are_no_numbers_fail_one_request(folder: Path) -> None:
    service = Service(hosted(folder))
    model = service.models["model"]
    assert isinstance(model, HostedWriter)
    with Running(service) as running, running.client() as client:
        network: AlbertForText2Text = model.writer.network
        with torch.no_grad():
            network.head.get_parameter("bias").fill_(torch.nan)
        assert "finite" in post(client, "/generate", 424, **LONG)["error"]
        assert client.get("/health").status_code == 503


def test_keys_and_rates_count_here(folder: Path) -> None:
    key, stored = new_key("me")
    service = Service(hosted(folder), keys=Keys([stored]), rate=RateLimit(0.001, 2))
    with Running(service) as running, running.client() as client:
        post(client, "/generate", 401, inputs="vier", stream=True)
        client.headers["Authorization"] = f"Bearer {key}"
        assert events(client, "/generate", inputs="vier")[-1][0] == "answer"
        post(client, "/translate", inputs="vier")
        post(client, "/translate", 429, inputs="vier")


def test_a_server_that_stops_ends_what_takes_too_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an error that says so: what is written, what waits for room, and what comes to the desk after that."""
    Steps(monkeypatch, 0.1)
    service = Service(hosted(folder), limits=Limits(max_written=60))
    with Running(service) as running, running.client() as client, running.client() as second:
        errors: list[Any] = []
        waiting = threading.Thread(target=lambda: errors.append(post(second, "/generate", 504, **LONG)))
        with client.stream("POST", "/generate", json={**LONG, "stream": True}) as response:
            lines = response.iter_lines()
            assert next(lines) == "event: piece"
            waiting.start()
            while not service.desk._waiting:
                time.sleep(0.01)
            loop = service.desk._waiting[0].given.get_loop()
            loop.call_soon_threadsafe(service.desk.end_by, time.monotonic() + 0.3)
            assert "event: error" in list(lines)
        waiting.join()
        assert errors[0]["error"] == "not done in time"
        post(client, "/generate", 504, **LONG)
        assert idle(service)


@pytest.mark.ci
def test_sigterm_lets_streams_end(folder: Path) -> None:
    """The last event arrives, and the process ends with 0."""
    with Server.start(folder) as server, server.client() as client:
        body = {"inputs": TEXTS * 10, "sample": True, "top_k": 30, "stream": True, "min_length": 31, "max_length": 31}
        with client.stream("POST", "/generate", json=body) as response:
            lines = response.iter_lines()
            assert next(lines) == "event: text"
            server.process.terminate()
            assert "event: answer" in list(lines)
        assert server.process.wait(30) == 0
        stopped = server.wait_for("stopped")
        assert (stopped["left"], stopped["answered"]) == (0, 1)
