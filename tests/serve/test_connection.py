"""A connection's bounds: what comes in a request after its head, what follows it, and clients that do not read."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.keys import Keys, new_key
from albert.serve.core.limits import Limits
from albert.serve.core.service import Service
from albert.serve.http import crowd as crowds
from albert.serve.http.crowd import Crowd
from albert.text.tokenizer import AlbertTokenizer
from served import Running, read_all, write_model

LIMITS = Limits(max_body=100_000, max_requests=8, max_connections=24, max_pipelined=8)
SLOW = 1.0
LIVE = b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LAST = LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
TEXT = b'{"inputs": "a"}'


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> Source:
    folder = tmp_path_factory.mktemp("connection") / "m"
    return Source("reviews", str(write_model(folder, "classification", tokenizer, max_position_embeddings=512)))


@pytest.fixture(scope="module")
def server(source: Source) -> Iterator[Running]:
    with Running(Service([Hosted.load(source)], limits=LIMITS), hosts=frozenset({"127.0.0.1"})) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(source: Source) -> Iterator[Running]:
    limits = replace(LIMITS, header_timeout=SLOW, body_timeout=SLOW, write_timeout=SLOW, keep_alive=SLOW)
    with Running(Service([Hosted.load(source)], limits=limits)) as running:
        yield running


@pytest.fixture(scope="module")
def locked(source: Source) -> Iterator[Running]:
    _, key = new_key("ann")
    with Running(Service([Hosted.load(source)], limits=LIMITS, keys=Keys([key]))) as running:
        yield running


def head(*headers: str, path: str = "/predict", method: str = "POST", host: str = "127.0.0.1") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def chunked(body: bytes, *trailers: str, size: int = 1000) -> bytes:
    chunks = (body[start : start + size] for start in range(0, len(body), size))
    parts = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return parts + b"0\r\n" + "".join(f"{line}\r\n" for line in trailers).encode() + b"\r\n"


def statuses(answers: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def taken(server: Running, start: bytes, part: bytes, most: int = 5_000_000) -> int:
    """How many bytes of an endless request the server takes."""
    sent = 0
    with server.connect() as connection, contextlib.suppress(OSError):
        connection.sendall(start)
        while sent < most:
            sent += connection.send(part)
    return sent


# --- what comes after the head -----------------------------------------------------------------------------


@pytest.mark.parametrize("trailer", ["Host: evil.example", "Content-Type: text/plain", "X-Request-Id: other"])
def test_trailers_override_no_headers(server: Running, trailer: str) -> None:
    message = head("Transfer-Encoding: chunked", "Connection: close", "X-Request-Id: mine") + chunked(TEXT, trailer)
    answer = server.raw(message)
    assert statuses(answer) == [200]
    assert b"x-request-id: mine" in answer


def test_a_key_in_a_trailer_opens_nothing(source: Source) -> None:
    text, key = new_key("ann")
    with Running(Service([Hosted.load(source)], keys=Keys([key]))) as running:
        message = head("Transfer-Encoding: chunked", "Connection: close")
        bearer = f"Authorization: Bearer {text}"
        assert statuses(running.raw(message + chunked(TEXT, bearer))) == [401]
        assert statuses(
            running.raw(message.replace(b"\r\n\r\n", f"\r\n{bearer}\r\n\r\n".encode()) + chunked(TEXT))
        ) == [200]


ENDLESS = {
    "trailers": b"0\r\n|a: " + b"b" * 2000 + b"\r\n",
    "small trailers": b"0\r\n|" + b"a:\r\n" * 500,
    "one trailer": b"0\r\na: |" + b"b" * 4000,
    "a chunk's extension": b"1;|" + b"a" * 4000,
    "extensions": b"|1;a=b;c=" + b"d" * 200 + b"\r\nx\r\n",
    "tiny chunks": b"|" + b"1\r\na\r\n" * 500,
    "a chunk's size": b"|" + b"0" * 4000,
}


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("name", ["server", "locked"])
def test_what_frames_a_body_is_bounded(request: pytest.FixtureRequest, name: str, kind: str) -> None:
    """With and without a key: the refusal of one is no leave to go on."""
    running: Running = request.getfixturevalue(name)
    begin, _, part = ENDLESS[kind].partition(b"|")
    start = head("Transfer-Encoding: chunked") + chunked(TEXT).removesuffix(b"0\r\n\r\n") + begin
    assert taken(running, start, part) < 5_000_000  # what the system's own buffers take
    assert statuses(running.raw(LAST)) == [200]


def test_a_body_in_small_chunks_is_read(server: Running) -> None:
    body = json.dumps({"inputs": "a word " * 1500}).encode()
    for size in (7, 100, 4000):
        message = head("Transfer-Encoding: chunked", "Connection: close") + chunked(body, size=size)
        assert statuses(server.raw(message)) == [200]


@pytest.mark.parametrize("name", ["server", "locked"])
def test_the_rest_of_a_refused_body_is_bounded(request: pytest.FixtureRequest, name: str) -> None:
    start = head("Transfer-Encoding: chunked", path="/unknown" if name == "server" else "/predict")
    part = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
    assert taken(request.getfixturevalue(name), start, part, most=20_000_000) < 20_000_000


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [(50, 200), (300, 431), (5000, 431)],
)
def test_headers_are_counted(server: Running, lines: int, wanted: int) -> None:
    assert statuses(server.raw(LAST.replace(b"\r\n\r\n", b"\r\n" + b"a: b\r\n" * lines + b"\r\n"))) == [wanted]


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (b"GET http://127.0.0.1/info HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 200),
        (b"GET http://evil.example/info HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", 403),
        (b"GET /info HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 400),
        (b"GET /info HTTP/1.1\r\nHost: 127.0.0.2\r\nConnection: close\r\n\r\n", 200),
        (b"GET /info HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n", 200),
        (b"GET /info HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\nConnection: close\r\n\r\n", 403),
        (b"GET /info HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n", 403),
        (b"CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400),
    ],
)  # fmt: skip
def test_whom_a_request_is_for_is_clear(server: Running, message: bytes, wanted: int) -> None:
    assert statuses(server.raw(message)) == [wanted]


# --- what follows a request --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("garbage", "refused"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /li ve HTTP/1.1\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /live HTTP/1.1\r\nA: " + b"b" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_a_good_request_before_garbage_is_answered(server: Running, garbage: bytes, refused: int) -> None:
    good = head(f"Content-Length: {len(TEXT)}") + TEXT
    assert statuses(server.raw(good + garbage)) == [200, refused]
    assert statuses(server.raw(LIVE * 3 + garbage)) == [200, 200, 200, refused]
    assert statuses(server.raw(garbage + LIVE)) == [refused]


def test_requests_in_a_row_are_bounded(server: Running) -> None:
    assert statuses(server.raw(LIVE * 5 + LAST)) == [200] * 6
    answers = server.raw(LIVE * 10_000)
    assert statuses(answers) == [200] * (LIMITS.max_pipelined + 1)
    assert answers.count(b"connection: close") == 1


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.3"])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_upgrade_that_is_declined_loses_no_body(server: Running, protocol: str, apart: bool, framing: str) -> None:
    lines = ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAMAAABk"]
    told = f"Content-Length: {len(TEXT)}" if framing == "length" else "Transfer-Encoding: chunked"
    body = TEXT if framing == "length" else chunked(TEXT)
    with server.connect() as connection:
        connection.sendall(head(*lines, told) + (b"" if apart else body))
        if apart:
            time.sleep(0.05)
            connection.sendall(body)
        connection.sendall(LAST)
        assert statuses(read_all(connection)) == [200, 200]


def test_an_upgrade_without_a_body_is_declined(server: Running) -> None:
    upgrade = head("Connection: Upgrade", "Upgrade: h2c", path="/live", method="GET")
    assert statuses(server.raw(upgrade + LIVE + LAST)) == [200, 200, 200]


# --- clients that do not read --------------------------------------------------------------------------------


def large(count: int = 1) -> bytes:
    body = json.dumps({"inputs": ["a b " * 3900] * 4}).encode()
    return (head(f"Content-Length: {len(body)}", path="/tokenize") + body) * count


def deaf(server: Running, message: bytes, *, buffer: int = 4096) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.connect(server.address)
    connection.sendall(message)
    return connection


def test_who_does_not_read_is_cut_off_and_keeps_no_place(impatient: Running) -> None:
    """As many as there are places for requests, each with another one behind the first."""
    before = len(impatient.connections())
    clients = [deaf(impatient, large(2)) for _ in range(LIMITS.max_requests)]
    until(lambda: len(impatient.connections()) >= before + len(clients))
    until(lambda: impatient.service.under_way == 0)
    assert statuses(impatient.raw(head(f"Content-Length: {len(TEXT)}", "Connection: close") + TEXT)) == [200]
    until(lambda: not impatient.connections())
    for client in clients:
        client.close()


def test_who_reads_slowly_gets_all(server: Running) -> None:
    with deaf(server, large(), buffer=100_000) as connection:
        time.sleep(0.3)
        connection.settimeout(10)
        found = connection.recv(65_536)
        while not found.endswith(b"]]"):
            found += connection.recv(65_536)
        assert len(json.loads(found.partition(b"\r\n\r\n")[2])) == 4


@pytest.mark.ci
def test_what_is_not_read_is_bounded_together(source: Source) -> None:
    with Running(Service([Hosted.load(source)], limits=Limits(max_unsent=5_000_000))) as running:
        clients = [deaf(running, large()) for _ in range(5)]
        crowd = running.crowd
        until(lambda: len(crowd) < 5 and running.service.under_way == 0 and running.service.answered == 5)
        assert sum(each.unsent for each in crowd._stalled) <= 5_000_000
        assert statuses(running.raw(LAST)) == [200]
        for client in clients:
            client.close()


# --- many connections --------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"", b"GET /li", head("Content-Length: 50") + b"{", LIVE])
def test_whoever_waits_longest_makes_room(server: Running, start: bytes) -> None:
    until(lambda: len(server.connections()) == 0)
    idle = [server.connect() for _ in range(LIMITS.max_connections + 10)]
    for connection in idle:
        with contextlib.suppress(OSError):
            connection.sendall(start)
    assert statuses(server.raw(LAST)) == [200]
    assert len(server.connections()) <= LIMITS.max_connections
    for connection in idle:
        connection.close()


def test_a_request_that_has_come_is_read_before_others_need_its_room(server: Running) -> None:
    seen = threading.Event()
    server.service._tasks[0].get_loop().call_soon_threadsafe(seen.wait, 10)  # it finds all of them at once
    with server.connect() as connection, contextlib.ExitStack() as others:
        connection.sendall(LAST)
        for _ in range(3 * LIMITS.max_connections):
            others.enter_context(server.connect())
        seen.set()
        assert statuses(read_all(connection)) == [200]


def test_a_body_that_is_not_sent_after_all(impatient: Running) -> None:
    with impatient.connect() as connection:
        connection.sendall(head("Content-Length: 50", "Expect: 100-continue"))
        answers = read_all(connection)
    assert statuses(answers) == [100, 408]


def test_a_connection_after_a_refusal_ends_too(impatient: Running) -> None:
    for message in (head("Content-Length: 5", path="/unknown"), head("Content-Length: 5", path="/unknown") + b"abcde"):
        begun = time.monotonic()
        assert statuses(impatient.raw(message)) == [404]
        assert time.monotonic() - begun < 12


class _Member:
    unsent = 0

    def __init__(self) -> None:
        self.gone = False

    def cut_off(self) -> None:
        self.gone = True


def test_a_crowd_knows_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(crowds, "time", SimpleNamespace(monotonic=lambda: now))
    crowd = Crowd(Limits(max_connections=3, max_unsent=1000))
    first, _, third = members = [_Member() for _ in range(3)]
    for member in members:
        crowd.waits(member)
    crowd.works(first)
    now += 0.2
    assert not crowd.make_room()  # their requests may still be on their way
    now += 0.1
    assert crowd.make_room()
    assert [member.gone for member in members] == [False, True, False]
    crowd.works(third)
    crowd.waits(_Member())
    crowd._waiting.clear()
    assert not crowd.make_room()  # all of them are being answered
    for member in (first, third):
        member.unsent = 600
        crowd.stalls(member)
    assert first.gone
    assert not third.gone


def test_limits_are_parsed(tmp_path: Path) -> None:
    assert Limits.parse(["write_timeout=2.5", "max_depth=7"], drain=1.0) == Limits(
        write_timeout=2.5, max_depth=7, drain=1.0
    )
    for wrong in ("depth=7", "max_depth", "max_depth=deep", "max_depth=0", "drain=nan"):
        with pytest.raises(ValueError, match=r"limit|expected"):
            Limits.parse([wrong])
