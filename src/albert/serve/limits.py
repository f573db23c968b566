"""What a server admits, and for how long: bounds that hold whatever a client sends."""

from __future__ import annotations

from dataclasses import dataclass

from albert.errors import require_ranges


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on requests, batches and waiting. Sizes in bytes, times in seconds.

    `max_inputs`, `max_body`, `max_requests` and what a text may have in characters, 250 a piece, are
    text-embeddings-inference's. `batch_tokens` is small for a processor: a batch of 2,048 costs a token as much as
    larger ones do, and nobody waits long behind it. `queue_tokens` bounds what waits for the engine, and work that
    would not be done within `timeout` is refused at once.
    """

    max_inputs: int = 32
    max_body: int = 2_000_000
    max_held: int = 64_000_000  # bytes of bodies that are read or answered now
    max_requests: int = 512
    max_connections: int = 4096
    max_depth: int = 100
    characters_a_piece: int = 250
    batch_tokens: int = 2048
    queue_tokens: int = 262_144
    timeout: float = 30.0
    header_timeout: float = 10.0
    body_timeout: float = 20.0
    health_timeout: float = 5.0
    drain: float = 30.0
    header_bytes: int = 16_384

    def __post_init__(self) -> None:
        require_ranges(
            self,
            ("max_inputs", 1, 10_000),
            ("max_body", 1000, 2**30),
            ("max_held", 1000, 2**40),
            ("max_requests", 1, 100_000),
            ("max_connections", 1, 1_000_000),
            ("batch_tokens", 1, 2**20),
            ("queue_tokens", 1, 2**30),
            ("timeout", 0.01, 3600),
            ("header_timeout", 0.05, 3600),
            ("body_timeout", 0.05, 3600),
            ("health_timeout", 0.01, 3600),
            ("drain", 0, 3600),
        )
