"""One request on its way through the server: who, until when, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from albert.serve.refusals import expired


@dataclass
class Call:
    """Times are seconds of `time.monotonic`, durations are seconds."""

    id: str
    deadline: float
    model: str | None = None  # by the path
    method: str = "single"
    started: float = field(default_factory=time.monotonic)
    inputs: int = 0
    characters: int = 0
    tokens: int = 0
    cut: int = 0  # texts that were longer than the model reads
    tokenizing: float = 0.0
    queued: float = 0.0
    computing: float = 0.0
    begun: float = 0.0  # when all of it had come
    crowded_out: bool = False  # refused for the sake of what waited already

    def begin(self, timeout: float) -> None:
        """From now on it has so many seconds."""
        self.begun = time.monotonic()
        self.deadline = self.begun + timeout

    @property
    def left(self) -> float:
        """Seconds until the deadline. Raises `Refusal` (504) when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise expired()
        return left

    def headers(self) -> dict[str, str]:
        """What it cost, under text-embeddings-inference's names, in milliseconds; and how many texts were cut."""
        told = {
            "x-compute-characters": self.characters,
            "x-compute-tokens": self.tokens,
            "x-total-time": round(1000 * (time.monotonic() - self.started)),
            "x-tokenization-time": round(1000 * self.tokenizing),
            "x-queue-time": round(1000 * self.queued),
            "x-inference-time": round(1000 * self.computing),
            "x-truncated-inputs": self.cut,
        }
        return {name: str(value) for name, value in told.items()}
