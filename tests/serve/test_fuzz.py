"""What the OpenAPI allows, and what it does not, never gives a 5xx or an answer of another shape."""

from __future__ import annotations

import json
import os
import random
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

from albert.tasks import TASKS
from served import PRETRAINED, Running

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
LONG = int(os.environ.get("ALBERT_SERVE_EXAMPLES", "300"))
VALID = {
    "/predict": {"inputs": [["a"], ["b", "c"]], "raw_scores": False},
    "/embed": {"inputs": ["a"], "model": PRETRAINED},
    "/rerank": {"query": "a", "texts": ["b"], "model": "regression"},
    "/similarity": {"inputs": {"source_sentence": "a", "sentences": ["b"]}, "model": "retrieval"},
    "/tokenize": {"inputs": ["a"], "add_special_tokens": True},
    "/answer": {"question": "a", "context": "b c", "top_k": 2, "model": "qa"},
    "/entities": {"inputs": "a b", "aggregation": "max", "model": "ner"},
    "/fill-mask": {"inputs": "a [MASK]", "top_k": 2, "model": PRETRAINED},
    "/summarize": {"inputs": "A. B. C. D.", "sentences": 2},
    "/v1/embeddings": {"input": "a", "encoding_format": "base64", "model": PRETRAINED},
    "/v1/moderations": {"input": ["a"], "model": "multilabel"},
}


@pytest.fixture(scope="module")
def server(every_model: tuple[Running, Path]) -> Running:
    return every_model[0]


def fuzz(server: Running, examples: int) -> None:
    """Each operation with so many drawn requests."""
    schema = schemathesis.openapi.from_url(f"http://{server.address[0]}:{server.address[1]}/openapi.json")
    names = st.none() | st.sampled_from([*TASKS, PRETRAINED])
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


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_mutants_never_break_it(server: Running) -> None:
    mutants(server, 100 * LONG)
