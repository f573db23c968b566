"""A server that is attacked: others are answered all the while, its memory stays bounded, and SIGTERM ends it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from attacks import ATTACKS

from albert.text.tokenizer import AlbertTokenizer
from served import Server, write_model

pytestmark = pytest.mark.ci  # minutes altogether

BOUND = 150_000_000  # bytes of memory beyond what the server has at first
QUICK = ("endless trailers", "bodies that trickle", "answers that nobody reads", "silence", "endless bodies",
         "streams that nobody reads")  # fmt: skip
LIMITS = {"max_connections": 64, "header_timeout": 2, "body_timeout": 2, "write_timeout": 3, "max_unsent": 30_000_000}
SECONDS = float(os.environ.get("ALBERT_ATTACK_SECONDS", "20"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> Path:
    folder = tmp_path_factory.mktemp("attacked")
    write_model(folder / "writer", "text2text", tokenizer)
    write_model(folder / "m", "classification", tokenizer, max_position_embeddings=512)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    limits = [part for name, value in LIMITS.items() for part in ("--limit", f"{name}={value}")]
    with Server.start(folder / "m", folder / "writer", "--drain", 12, *limits) as server:
        yield server


@contextmanager
def attacked(server: Server, name: str, connections: int) -> Iterator[None]:
    host, port = server.address
    program = [sys.executable, str(Path(__file__).with_name("attacks.py")), host, str(port), "", str(connections), name]
    process = subprocess.Popen(program, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.communicate(timeout=60)


def work(server: Server) -> float:
    """Seconds of the processor that the server has had: a busy machine does not count."""
    times = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def rest(server: Server) -> None:
    """Waits for the end of what an attack before this one left behind: together they are too many connections."""
    with server.client() as client:
        while "albert_requests_under_way 0.0" not in client.get("/metrics").text:
            time.sleep(0.1)


def probe(server: Server, seconds: float) -> None:
    """Asks again and again: each answer comes after less than a second of work."""
    start, end = server.memory(), time.monotonic() + seconds
    while time.monotonic() < end:
        before = work(server)
        with server.client() as client:
            assert client.get("/live").status_code == 200
        with server.client() as client:  # between two requests a connection may be cut off to make room for others
            assert client.post("/predict", json={"inputs": "a"}).status_code in (200, 429)
        assert work(server) - before < 1
        assert server.memory() - start < BOUND
        time.sleep(0.05)


@pytest.mark.parametrize("name", QUICK)
def test_others_are_answered(server: Server, name: str) -> None:
    rest(server)
    with attacked(server, name, 100 if name == "silence" else 20):
        probe(server, 1.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ATTACKS)
def test_others_are_answered_for_long(server: Server, name: str) -> None:
    rest(server)
    with attacked(server, name, 60):
        probe(server, SECONDS)


def test_sigterm_ends_it_all_the_same(server: Server) -> None:
    """The last of this file: with several attacks at once, more than there is room for."""
    with ExitStack() as attacks:
        for name in QUICK:
            attacks.enter_context(attacked(server, name, 20))
        time.sleep(1)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 12 + 8  # the drain, and what a busy machine needs to end a process
