"""What the OpenAPI allows, and what it does not, never gives a 5xx or an answer of another shape."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from albert.tasks import TASKS, WRITING
from albert.text.tokenizer import AlbertTokenizer
from mutants import mutated_json
from served import PRETRAINED, Load, Running, Server, write_models

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
LONG = int(os.environ.get("ALBERT_SERVE_EXAMPLES", "300"))
VALID = {
    "/predict": {"inputs": [["a"], ["b", "c"]], "raw_scores": False},
    "/embed": {"inputs": ["a"], "model": PRETRAINED},
    "/rerank": {"query": "a", "texts": ["b"], "model": "regression"},
    "/similarity": {"inputs": {"source_sentence": "a", "sentences": ["b"]}, "model": "retrieval"},
    "/classify": {"inputs": ["a"], "labels": {"b": "", "c": "d"}, "model": "similarity"},
    "/tokenize": {"inputs": ["a"], "add_special_tokens": True},
    "/answer": {"question": "a", "context": "b c", "top_k": 2, "model": "qa"},
    "/entities": {"inputs": "a b", "aggregation": "max", "model": "ner"},
    "/fill-mask": {"inputs": "a [MASK]", "top_k": 2, "model": PRETRAINED},
    "/summarize": {"inputs": "A. B. C. D.", "sentences": 2},
    "/generate": {"inputs": ["a"], "top_k": 2, "beam": 2, "max_length": 9, "stream": True, "model": "text2text"},
    "/translate": {"inputs": "a b", "max_length": 9, "token_scores": True, "prefix": "a", "model": "text2text"},
    "/v1/embeddings": {"input": "a", "encoding_format": "base64", "model": PRETRAINED},
    "/v1/moderations": {"input": ["a"], "model": "multilabel"},
}


@pytest.fixture(scope="module")
def server(every_model: tuple[Running, Path]) -> Running:
    return every_model[0]


def fuzz(server: Running, examples: int) -> None:
    """Each operation with so many drawn requests."""
    schema = schemathesis.openapi.from_url(f"http://{server.address[0]}:{server.address[1]}/openapi.json")
    names = st.none() | st.sampled_from([*TASKS, *WRITING, PRETRAINED])
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy(), name=names)
        def ask(case: Any, name: str | None) -> None:
            if isinstance(case.body, dict) and name is not None:
                case.body["model"] = name  # or most requests would ask a classifier what it does not do
            case.call_and_validate(checks=CHECKS)

        ask()


def test_drawn_requests_never_break_it(server: Running) -> None:
    fuzz(server, 4)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_drawn_requests_never_break_it(server: Running) -> None:
    fuzz(server, LONG)


def mutated(rng: random.Random, raw: bytes) -> bytes:
    """The same with some bytes changed, left out, repeated, or a hostile part put in."""
    parts = [b"\xff", b"\x00", b"\\ud800", b"NaN", b"1e999", b"-0", b"[" * 120, b'{"a":', b"null", b"true", b"9" * 400,
             b'"', b"\\", b",", "\u202e\u0301\U000e0041".encode() * 40]  # fmt: skip
    data = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 30)]
            case _:
                data[at : at + rng.randrange(3)] = rng.choice(parts)
    return bytes(data)


def mutants(server: Running, count: int) -> None:
    rng = random.Random(0)
    with server.client() as client:
        for number in range(count):
            path = sorted(VALID)[number % len(VALID)]
            body = mutated(rng, json.dumps(VALID[path]).encode())
            answer = client.post(path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code in (200, 404, 413, 422, 424), (path, body, answer.text)


def test_valid_requests_are_answered(server: Running) -> None:
    with server.client() as client:
        for path, body in VALID.items():
            assert client.post(path, json=body).status_code == 200, path


def test_mutants_never_break_it(server: Running) -> None:
    mutants(server, 330)


# --- long ------------------------------------------------------------------------------------------------

HEADS = (  # one in fifty requests has another head than its body asks for
    (b" HTTP/1.1", b"?model=%00&a=%ff HTTP/1.1"),
    (b"POST", b"PATCH"),
    (b"POST /", b"POST /models/"),
    (b"application/json", b"text/plain"),
    (b"*/*", b"\xff, text/html;q=nan"),
    (b"127.0.0.1", b"[::1]:65536"),
)
TAKEN = {200, 404, 405, 413, 415, 422, 424, 429}  # the last on a machine that is busy with other work
ALPHABETS = (range(32, 127), range(0x300, 0x370), range(0x590, 0x700), range(0x200B, 0x2070), range(0x3040, 0xD7A0),
             range(0x1F300, 0x1FB00), range(1, 0xD800))  # fmt: skip


def odd_text(rng: random.Random) -> str:
    """Up to some hundred characters of one alphabet."""
    return "".join(map(chr, rng.choices(rng.choice(ALPHABETS), k=int(rng.paretovariate(0.7)) % 400)))


def hostile(rng: random.Random) -> Iterator[bytes]:
    """Whole requests without end, each of an endpoint in turn: with other bytes, other values or odd texts."""
    for path in itertools.cycle(VALID):
        raw = json.dumps(VALID[path]).encode()
        match rng.randrange(3):
            case 0:
                body = mutated(rng, raw)
            case 1:
                body = mutated_json(raw, rng)
            case _:
                body = raw.replace(b'"a"', json.dumps(odd_text(rng)).encode())
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nContent-Type: application/json\r\n".encode()
        if rng.random() < 0.02:
            head = head.replace(*rng.choice(HEADS))
        yield head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_mutants_never_break_it(tmp_path: Path, tokenizer: AlbertTokenizer) -> None:
    """Over connections that are kept; the server, a process of its own, stays as small as it was after the first."""
    count = int(os.environ.get("ALBERT_SERVE_REQUESTS", "100000"))
    clients, messages = Load(), hostile(random.Random(1))
    with Server.start(*write_models(tmp_path, tokenizer)) as server:

        def send(requests: int) -> int:
            asyncio.run(clients.send(server.address, messages, clients=8, requests=requests, retry=True))
            print(f"{sum(clients.statuses.values()):,} answers, {server.memory() / 1e6:.1f} MB", flush=True)
            return server.memory()

        start = send(20_000)
        grown = [send(count // 10) - start for _ in range(10)][-1]
        assert server.stop() == 0
    print(f"{grown / 1e6:.1f} MB over {count:,} requests, {dict(clients.statuses)}, {clients.lost} lost")
    odd = {status: clients.first[status] for status in set(clients.statuses) - TAKEN}
    assert not odd
    assert clients.lost == clients.refused == 0
    assert grown <= 20_000_000
