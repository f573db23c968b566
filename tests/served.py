"""Servers for the tests: small random models of every family, and `albert serve` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import torch

from albert.config import AlbertConfig
from albert.files import write_manifest
from albert.model import AlbertForTask, save_model
from albert.tasks import TASKS
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


def write_model(folder: Path, task: str | None, tokenizer: AlbertTokenizer, *, seed: int = 0, **sizes: Any) -> Path:
    """A random model of a task, or a pre-trained one, as training leaves it: with a manifest."""
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
    if task is not None:
        lengths = TASKS[task].lengths
        stride = None if lengths.stride is None else 16
        config = config.with_(
            id2label=LABELS[task],
            problem_type=TASKS[task].problem_type,
            extra={"task": task, "max_length": 64, "stride": stride, "columns": {"text": "text"}},
        )
    head = "pretraining" if task is None else TASKS[task].head
    folder.mkdir(parents=True, exist_ok=True)
    save_model(AlbertForTask(config, head, generator=torch.Generator().manual_seed(seed)), folder)
    tokenizer.save(folder)
    write_manifest(folder)
    return folder


def write_models(folder: Path, tokenizer: AlbertTokenizer) -> list[str]:
    """A model of every family, as arguments of `albert serve`; the first is a classifier."""
    names = ["classification", *(name for name in TASKS if name != "classification"), PRETRAINED]
    for name in names:
        write_model(folder / name, None if name == PRETRAINED else name, tokenizer)
    return [str(folder / name) for name in names]


@dataclass
class Server:
    """A process of `albert serve`, and what it logged."""

    process: subprocess.Popen[str]
    url: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def start(cls, *arguments: object) -> Server:
        process = subprocess.Popen(
            [sys.executable, "-m", "albert", "serve", "--port", "0", *map(str, arguments)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        server = cls(process)
        threading.Thread(target=server._read, daemon=True).start()
        try:
            server.url = server.wait_for("listening")["address"]
        except AssertionError:
            server.stop(signal.SIGKILL)
            raise
        return server

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.lines.append(json.loads(line) if line.startswith("{") else {"event": "other", "line": line})

    def wait_for(self, event: str, *, seconds: float = 60) -> dict[str, Any]:
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
