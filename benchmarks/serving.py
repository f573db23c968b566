"""Our server against FastAPI + transformers and FastAPI + OpenVINO: same model, same texts, same machine, loopback
only.

    pip install -e ".[serve,peers]"
    python benchmarks/serving.py --short         a few minutes: the starter's shape, fewer and shorter phases
    python benchmarks/serving.py                 the base shape, too; about half an hour

Each arm is a separate process and gets the same phases in turn:

- closed loops of 1, 8, 32 and 64 clients that ask without pause
- open loops with random arrivals (Poisson) at half and at 80 % of the arm's best closed loop
- 5 times that rate, where only answers within the deadline count (goodput)

Requests are one text each, of the packaged customer messages, joined to mixed lengths (log-normal, mean 47 pieces, at
most 126). Clients run in this process on the same cores, so they cost every arm the same. Our server gets the deadline
by --timeout; the others have no such option. `serving_peers.py` describes them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from texts import texts_of

from albert.compute.precision import has_bf16
from albert.compute.quantized import save_ranges
from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.engine import calibrate
from albert.model import AlbertForTask, save_model
from albert.storage.files import INT8
from albert.text.tokenizer import AlbertTokenizer

SHAPES: dict[str, dict[str, Any]] = {
    "starter": {"size": "mini", "num_hidden_layers": 6},
    "base": {"size": "base"},
}
CLIENTS = (1, 8, 32, 64)
OVERLOAD = 5
RETRY = 0.05  # seconds
MAX_OPEN = 2000  # connections of an open loop; an arrival beyond them counts as refused
OPENVINO = "FastAPI + OpenVINO"
HERE = Path(__file__).parent


def write_model(folder: Path, shape: str, texts: list[str]) -> None:
    """A random classifier, with ranges for int8. Its answers do not matter, only its cost."""
    tokenizer = AlbertTokenizer.english()
    settings = dict(SHAPES[shape])
    config = AlbertConfig.named(
        str(settings.pop("size")), vocab_size=tokenizer.vocab_size, id2label=("no", "maybe", "yes"), **settings,
    ).with_(
        problem_type="single_label_classification", extra={"task": "classification", "max_length": 128}
    )  # fmt: skip
    model = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0))
    save_model(model.eval(), folder)
    tokenizer.save(folder)
    sample = Features.build(tokenizer.encode_batch(texts[:32], max_length=128))
    save_ranges(folder / INT8, calibrate(model, sample), {})


@dataclass
class Phase:
    """What clients saw: the seconds of each answer, and the count of each status; 0 is a failed connection."""

    name: str
    seconds: float = 0.0
    processor: float = 0.0  # seconds that the server had of it
    latencies: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def add(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        (self.latencies if status == 200 else self.refusals).append(seconds)

    def summary(self, deadline: float) -> dict[str, Any]:
        points = np.quantile(self.latencies, (0.5, 0.95, 0.99)) if self.latencies else np.full(3, np.nan)
        return {
            "phase": self.name,
            "answers a second": round(len(self.latencies) / self.seconds, 1),
            "in time a second": round(sum(s <= deadline for s in self.latencies) / self.seconds, 1),
            **{f"p{p} ms": round(1000 * float(value), 1) for p, value in zip((50, 95, 99), points, strict=True)},
            "core ms an answer": round(1000 * self.processor / max(len(self.latencies), 1), 2),
            "refusal p99 ms": round(1000 * float(np.quantile(self.refusals, 0.99)), 1) if self.refusals else None,
            "statuses": dict(self.statuses),
        }


class Connections:
    """Kept open and handed out one at a time. They ask `path`, with `options` beside the text."""

    def __init__(self, port: int, path: str = "/predict", options: Mapping[str, Any] | None = None) -> None:
        self.port = port
        self.path = path
        self.options = options or {}
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.open = 0

    async def ask(self, text: str) -> int:
        """The status; 0 when the connection fails."""
        raw = json.dumps({"inputs": text, **self.options}).encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(raw)}"
        )
        self.open += 1
        try:
            reader, writer = self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(head.encode() + b"\r\n\r\n" + raw)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        except (OSError, asyncio.IncompleteReadError):
            return 0
        finally:
            self.open -= 1
        if b"connection: close" in answer:
            writer.close()
        else:
            self.free.append((reader, writer))
        return int(answer.split(maxsplit=2)[1])


async def closed(connections: Connections, texts: list[str], clients: int, seconds: float) -> Phase:
    """Clients that ask again as soon as they are answered, and after a moment when they are refused."""
    phase = Phase(f"closed, {clients}")
    begun = time.perf_counter()

    async def client(number: int) -> None:
        turn = number
        while (asked := time.perf_counter()) - begun < seconds:
            status = await connections.ask(texts[turn % len(texts)])
            phase.add(status, time.perf_counter() - asked)
            if status == 429:
                await asyncio.sleep(RETRY)
            turn += clients

    await asyncio.gather(*map(client, range(clients)))
    phase.seconds = time.perf_counter() - begun
    return phase


async def opened(port: int, texts: list[str], rate: float, seconds: float, name: str) -> Phase:
    """Arrivals at random times, independent of earlier requests. Latency counts from the time of arrival."""
    phase, connections, rng = Phase(name), Connections(port), random.Random(0)
    begun = time.perf_counter()
    tasks: set[asyncio.Task[None]] = set()

    async def one(text: str, due: float) -> None:
        status = await connections.ask(text) if connections.open < MAX_OPEN else 0
        phase.add(status, time.perf_counter() - due)

    due, number = begun, 0
    while due - begun < seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.ensure_future(one(texts[number % len(texts)], due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due, number = due + rng.expovariate(rate), number + 1
    phase.seconds = time.perf_counter() - begun
    await asyncio.gather(*tasks)
    return phase


def started(command: list[str], port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            return process
        except OSError:
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(command)} ended with {process.returncode}") from None
            time.sleep(0.2)
    raise SystemExit("no answer")


def processor_seconds(process: int) -> float:
    """The processor seconds of a process so far, over all cores (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def commands(folder: Path, port: int, deadline: float) -> dict[str, list[str]]:
    place = [str(folder), "--port", str(port)]
    ours = [sys.executable, "-m", "albert", "serve", *place, "--timeout", str(deadline), "--precision"]
    peer = [sys.executable, str(HERE / "serving_peers.py")]
    return {
        "ours int8": [*ours, "int8"],
        "ours": [*ours, "bf16" if has_bf16("cpu") else "fp32"],
        OPENVINO: [*peer, "openvino", *place],
        "FastAPI + OpenVINO int8": [*peer, "openvino-int8", *place],
        "FastAPI + transformers": [*peer, "transformers", *place],
    }


def measure(process: int, port: int, texts: list[str], seconds: float, deadline: float) -> list[dict[str, Any]]:
    """All phases of one arm, after a second of warming up."""

    def during(load: Coroutine[Any, Any, Phase]) -> Phase:
        before = processor_seconds(process)
        phase = asyncio.run(load)
        phase.processor = processor_seconds(process) - before
        return phase

    asyncio.run(closed(Connections(port), texts, 8, 1.0))
    found = [during(closed(Connections(port), texts, clients, seconds)) for clients in CLIENTS]
    best = max(len(phase.latencies) / phase.seconds for phase in found)
    for share in (0.5, 0.8, OVERLOAD):
        found.append(during(opened(port, texts, share * best, seconds, f"open, {share:g} of its best")))
    told = [phase.summary(deadline) for phase in found]
    told[-1]["goodput of its best"] = round(told[-1]["in time a second"] / best, 3)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="the starter's shape, 5 seconds a phase")
    parser.add_argument("--shapes", help="among " + ", ".join(SHAPES))
    parser.add_argument("--seconds", type=float, help="of each phase")
    parser.add_argument("--deadline", type=float, default=1.0, help="within which an answer counts, in seconds")
    parser.add_argument("--arms", help="names with commas between; else all")
    parser.add_argument("--out", type=Path, help="JSON file for every figure")
    arguments = parser.parse_args()
    shapes = arguments.shapes or ("starter" if arguments.short else "starter,base")
    seconds = arguments.seconds or (5.0 if arguments.short else 30.0)
    texts = texts_of(512)
    every: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for shape in shapes.split(","):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_model(folder, shape, texts)
            tokens = sum(len(e) for e in AlbertTokenizer.from_pretrained(folder).encode_batch(texts, max_length=128))
            print(
                f"\n## {shape}, {tokens / len(texts):.0f} pieces a text, deadline {arguments.deadline:g} s", flush=True
            )
            arms = every.setdefault(shape, {})
            for arm in arguments.arms.split(",") if arguments.arms else commands(folder, 0, 0):
                port = free_port()
                process = started(commands(folder, port, arguments.deadline)[arm], port)
                try:
                    arms[arm] = measure(process.pid, port, texts, seconds, arguments.deadline)
                finally:
                    process.send_signal(signal.SIGTERM)
                    process.wait(60)
                show(arm, arms[arm])
            conclude(shape, arms)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(every, indent=1))


def conclude(shape: str, arms: dict[str, list[dict[str, Any]]]) -> None:
    """Each arm's most answers at no higher p99 than OpenVINO's with as many clients, and what
    remains under overload.
    """
    loops = {arm: [phase for phase in phases if phase["phase"].startswith("closed")] for arm, phases in arms.items()}
    print()
    for arm, phases in arms.items():
        for peer in loops.get(OPENVINO, []) if arm != OPENVINO else []:
            quick = [phase["answers a second"] for phase in loops[arm] if phase["p99 ms"] <= peer["p99 ms"]]
            ratio = max(quick, default=0.0) / peer["answers a second"]
            print(f"{arm} / {OPENVINO}, {shape}, {peer['phase']}, p99 at most {peer['p99 ms']:.0f} ms: {ratio:.2f}x")
        print(f"{arm}, {shape}, in time at {OVERLOAD} times its best rate: {phases[-1]['goodput of its best']:.0%}")


def show(arm: str, phases: list[dict[str, Any]]) -> None:
    names = [name for name in phases[-1] if name != "statuses"]
    print(f"\n### {arm}\n| " + " | ".join([*names, "statuses"]) + " |\n" + "|---" * (len(names) + 1) + "|")
    for phase in phases:
        cells = ["" if phase.get(name) is None else str(phase[name]) for name in names]
        print("| " + " | ".join([*cells, str(phase["statuses"])]) + " |", flush=True)


if __name__ == "__main__":
    main()
