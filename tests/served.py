"""Servers for the tests: small random models of every family, and `albert serve` as a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import torch

from albert.config import AlbertConfig, DecoderConfig
from albert.data.examples import Columns
from albert.model import AlbertForTask, AlbertForText2Text, save_model
from albert.serve.core.service import Service
from albert.serve.http.accept import Listener
from albert.serve.http.crowd import Crowd
from albert.serve.http.run import settings
from albert.storage.files import write_manifest
from albert.tasks import TASKS, WRITING, task_named
from albert.tasks.stored import StoredTask
from albert.text.tokenizer import AlbertTokenizer

PRETRAINED = "words"  # the name of the model that has learned no task
LABELS = {
    "classification": ("bad", "good", "none"),
    "multilabel": ("hate", "threat"),
    "regression": ("score",),
    "similarity": ("score",),
    "retrieval": ("answer",),
    "ner": ("O", "B-PER", "I-PER"),
    "qa": ("start", "end"),
    "choice": ("score",),
}
LIMITS = [0.4, 0.6]  # of several labels, as `tune` finds them
STEPS = [0.0, 0.0, -4.0, 0.0, -1.0, 2.0, -4.0]  # of tags, as `tune` of entities finds them


def write_model(
    folder: Path, task: str | None, tokenizer: AlbertTokenizer, *, seed: int = 0, fallback: str | None = None,
    **sizes: Any,
) -> Path:  # fmt: skip
    """A random model of a task, or a pre-trained one, as training leaves it: with a manifest.

    With a `fallback`, no other label is ever likely enough.
    """
    config = AlbertConfig(
        **{
            "vocab_size": tokenizer.vocab_size,
            "embedding_size": 16,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 128,
            "initializer_range": 0.3,
            **sizes,
        }
    )
    if task in WRITING:
        stored = StoredTask(task=task, metric="chrf", columns=Columns("source", label="target"), max_length=64)
        config = config.with_(decoder=DecoderConfig(), extra=stored.extra())
    elif task is not None:
        lengths = TASKS[task].lengths
        stride = None if lengths.stride is None else 16
        tuned: dict[str, Any] = {"multilabel": {"thresholds": LIMITS}, "ner": {"thresholds": STEPS}}.get(task, {})
        if fallback is not None:
            tuned = {"fallback": fallback, "thresholds": [1.0]}
        config = config.with_(
            id2label=LABELS[task],
            problem_type=TASKS[task].problem_type,
            extra={"task": task, "max_length": 64, "stride": stride, "columns": {"text": "text"}, **tuned},
        )
    head = "pretraining" if task is None else task_named(task).head
    drawn = torch.Generator().manual_seed(seed)
    model = (
        AlbertForTask(config, head, generator=drawn)
        if config.decoder is None
        else AlbertForText2Text(config, generator=drawn)
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, folder)
    tokenizer.save(folder)
    write_manifest(folder)
    return folder


def write_models(folder: Path, tokenizer: AlbertTokenizer) -> list[str]:
    """A model of every family, as arguments of `albert serve`; the first is a classifier."""
    names = ["classification", *(name for name in TASKS if name != "classification"), *WRITING, PRETRAINED]
    for name in names:
        write_model(folder / name, None if name == PRETRAINED else name, tokenizer)
    return [str(folder / name) for name in names]


@dataclass
class Server:
    """A process of `albert serve`, and what it logged."""

    process: subprocess.Popen[str]
    url: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)
    deaf: bool = False

    @classmethod
    def start(cls, *arguments: object, program: Sequence[str] = ("-m", "albert", "serve"), port: int = 0) -> Server:
        process = subprocess.Popen(
            [sys.executable, *program, "--port", str(port), *map(str, arguments)],
            stderr=subprocess.PIPE,
            text=True,
        )
        server = cls(process)
        threading.Thread(target=server._read, daemon=True).start()
        try:
            server.url = server.wait_for("listening")["address"]
        except AssertionError:
            server.stop(signal.SIGKILL)
            raise
        return server

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # where it was not stopped
        self.process.wait(60)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                if self.deaf:
                    return
                self.lines.append(json.loads(line) if line.startswith("{") else {"event": "other", "line": line})
                if len(self.lines) > 20_000:  # of a million requests nobody asks for the first
                    del self.lines[:10_000]

    def hang_up(self) -> None:
        """Closes the pipe that its log goes to, at its next line."""
        self.deaf = True
        with self.client() as client:
            client.get("/info")
        time.sleep(0.2)

    def wait_for(self, event: str, *, seconds: float = 120) -> dict[str, Any]:
        """The first line of this event."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = [line for line in self.lines if line["event"] == event]
            if found:
                return found[0]
            if self.process.poll() is not None:
                time.sleep(0.1)
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.lines[-5:]}")
            time.sleep(0.01)
        raise AssertionError(f"no {event!r} in {self.lines[-5:]}")

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.rpartition("//")[2].rpartition(":")
        return host, int(port)

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, **options)

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()


@dataclass
class Load:
    """Clients that ask without pause but after a 429, each on a connection that it keeps, and what came of it."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0  # seconds of an answer with 200
    lost: int = 0  # requests that were sent and got no whole answer
    refused: int = 0  # connections that were not made
    pause: float = 0.05  # seconds after a 429
    first: dict[int, bytes] = field(default_factory=dict)  # the first request that got each status

    async def run(self, address: tuple[str, int], *, clients: int, requests: int,
                  body: dict[str, Any] | Sequence[dict[str, Any]], path: str = "/predict",
                  retry: bool = False) -> None:  # fmt: skip
        """Until so many requests are answered, or each client was refused; with `retry` those come back.

        Of several bodies each request has the next.
        """
        raw = [json.dumps(each).encode() for each in ([body] if isinstance(body, dict) else body)]
        head = f"POST {path} HTTP/1.1\r\nHost: {address[0]}\r\nContent-Type: application/json\r\nContent-Length: "
        messages = itertools.cycle(f"{head}{len(each)}\r\n\r\n".encode() + each for each in raw)
        await self.send(address, messages, clients=clients, requests=requests, retry=retry)

    async def send(self, address: tuple[str, int], messages: Iterator[bytes], *, clients: int, requests: int,
                   retry: bool = False) -> None:  # fmt: skip
        """The same with whole requests, each as it is to be sent."""
        left = iter(range(requests))
        await asyncio.gather(*(self._client(address, messages, left, retry) for _ in range(clients)))

    async def _client(
        self, address: tuple[str, int], messages: Iterator[bytes], left: Iterator[int], retry: bool
    ) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(*address)
            except OSError:
                self.refused += 1
                if not retry:
                    return
                await asyncio.sleep(0.05)
                continue
            try:
                if await self._ask(reader, writer, messages, left) and not retry:
                    return
                if next(left, None) is None:
                    return
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, messages: Iterator[bytes],
                   left: Iterator[int]) -> bool:  # fmt: skip
        """Asks until the server closes the connection; False if that was without an answer."""
        while next(left, None) is not None:
            begun = time.monotonic()
            message = next(messages)
            try:
                writer.write(message)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await _read_body(reader, head)
            except (OSError, asyncio.IncompleteReadError):
                self.lost += 1
                return False
            status = int(head.split(maxsplit=2)[1])
            self.statuses[status] += 1
            self.first.setdefault(status, message)
            if status == 429:
                await asyncio.sleep(self.pause)
            if status == 200:
                self.slowest = max(self.slowest, time.monotonic() - begun)
            if b"connection: close" in head:
                return True
        return True


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> None:
    """The rest of an answer: as long as its head says, or in chunks."""
    size = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    if size:
        await reader.readexactly(int(size))
        return
    while int(await reader.readuntil(b"\r\n"), 16):
        await reader.readuntil(b"\n\n\r\n")
    await reader.readexactly(2)


class Running:
    """A service behind real connections, in a thread of this process."""

    def __init__(self, service: Service, **options: Any) -> None:
        self.service = service
        self._server = Listener(settings(service, **options))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})

    def __enter__(self) -> Running:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    def client(self, **options: Any) -> httpx.Client:
        host, port = self.address
        return httpx.Client(base_url=f"http://{host}:{port}", timeout=30, trust_env=False, **options)

    @property
    def crowd(self) -> Crowd:
        return self._server.crowd

    def connections(self) -> list[Any]:
        """The server's sides of them."""
        return [found.transport.get_extra_info("socket") for found in self._server.server_state.connections]

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=10)

    def raw(self, data: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"<reset>")
    return b"".join(parts)
