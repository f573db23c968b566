"""One request on its way through the server: who, until when, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from albert.serve.core.refusals import expired


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
        """Seconds until the deadline. Raises `Refusal` (expired) when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise expired()
        return left
