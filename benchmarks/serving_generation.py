"""How fast the server writes texts: pieces a second with 1, 8 and 32 clients, beside the library's own call.

    pip install -e ".[serve]"
    python benchmarks/serving_generation.py        two minutes

The network is that of `generation.py` with the packaged vocabulary and drawn weights. Requests are one packaged message
of a customer each, cut to 16 pieces, and get 32 pieces back. Clients ask without pause; they run in this process on the
same cores. "library" writes all texts in one call, and one text a call. "first ms" is the time to the first piece of a
stream with nothing else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from serving import Connections, Phase, closed, free_port, started
from texts import texts_of

from albert.data.examples import Example
from albert.generation import GenerationOptions
from albert.model import save_model
from albert.predict.writer import Writer
from albert.text.tokenizer import AlbertTokenizer
from generation import BEAMS, SOURCE, TARGET, network

CLIENTS = (1, 8, 32)
TEXTS = 32


def write_model(folder: Path) -> None:
    tokenizer = AlbertTokenizer.english()
    stored = {"task": "text2text", "max_length": SOURCE}
    save_model(network(tokenizer.vocab_size, extra=stored), folder)
    tokenizer.save(folder)


def library(
    folder: Path, texts: list[str], options: GenerationOptions, precision: Literal["auto", "fp32", "bf16", "int8"],
    seconds: float,
) -> tuple[float, float]:  # fmt: skip
    """Pieces a second of all texts in a call, and of one text a call."""
    writer = Writer.load(folder, precision=precision)
    rates = []
    for calls in ([texts], [[text] for text in texts]):
        begun, pieces = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            for call in calls:
                writer.write([Example(text) for text in call], options)
                pieces += len(call) * TARGET
        rates.append(pieces / (time.perf_counter() - begun))
    return rates[0], rates[1]


def first_piece(port: int, text: str, options: dict[str, int]) -> float:
    """Seconds from a request to the first event of its stream."""
    body = json.dumps({"inputs": text, "stream": True, **options}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/generate", body, {"Content-Type": "application/json"})
    begun = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        answer.readline()
        seconds = time.perf_counter() - begun
        answer.read()
    return seconds


def row(name: str, beam: int, phase: Phase) -> str:
    median, late = np.quantile(phase.latencies, (0.5, 0.95))
    assert set(phase.statuses) == {200}, phase.statuses
    rate = len(phase.latencies) * TARGET / phase.seconds
    return f"| {name} | {beam} | {rate:,.0f} | {1000 * median:.0f} | {1000 * late:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each phase")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "int8"])
    arguments = parser.parse_args()
    texts = [" ".join(text.split()[:40]) for text in texts_of(TEXTS)]
    length = {"min_length": TARGET, "max_length": TARGET}
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder)
        port = free_port()
        command = ["serve", str(folder), "--port", str(port), "--precision", arguments.precision, "--timeout", "60"]
        server = started([sys.executable, "-m", "albert", *command], port)
        try:
            firsts = [first_piece(port, text, length) for text in texts[:9]]
            print(f"first ms: {1000 * statistics.median(firsts):.1f}")
            print("| | beam | pieces/s | p50 ms | p95 ms |\n|---|---|---|---|---|")
            for beam in BEAMS:
                for clients in CLIENTS:
                    ask = Connections(port, "/generate", {**length, "beam": beam})
                    phase = asyncio.run(closed(ask, texts, clients, arguments.seconds))
                    print(row(f"{clients} clients", beam, phase), flush=True)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
        for beam in BEAMS:
            options = GenerationOptions(beam=beam, min_length=TARGET, max_length=TARGET)
            with get_context("spawn").Pool(1) as process:  # OpenMP waits there as albert wants it
                both = process.apply(library, (folder, texts, options, arguments.precision, arguments.seconds))
            for what, rate in zip((f"library, {TEXTS} texts a call", "library, one text a call"), both, strict=True):
                print(f"| {what} | {beam} | {rate:,.0f} | | |", flush=True)


if __name__ == "__main__":
    main()
