"""One request on its way through the server: its client, its deadline and its cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from albert.serve.core.refusals import expired


@dataclass
class Call:
    """One request. Moments are seconds of `time.monotonic`; durations are seconds."""

    id: str
    deadline: float
    model: str | None = None  # the model that the path names
    method: str = "single"
    started: float = field(default_factory=time.monotonic)
    inputs: int = 0
    characters: int = 0
    tokens: int = 0
    cut: int = 0  # texts that were longer than the model reads
    tokenizing: float = 0.0
    queued: float = 0.0
    computing: float = 0.0
    begun: float = 0.0  # when the whole request had arrived
    crowded_out: bool = False  # the queue refused it because of the requests that already waited

    def begin(self, timeout: float) -> None:
        """Starts the clock: the deadline is `timeout` seconds from now."""
        self.begun = time.monotonic()
        self.deadline = self.begun + timeout

    @property
    def left(self) -> float:
        """Seconds until the deadline. Raises `Refusal` (expired) when the deadline has passed."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise expired()
        return left
