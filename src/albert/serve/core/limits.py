"""The limits of a server. They hold whatever a client sends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from albert.errors import AlbertError, ErrorKind, require_ranges


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on requests, batches and waiting. Sizes are in bytes, times in seconds.

    `max_inputs`, `max_body`, `max_requests` and the 250 characters per piece are those of text-embeddings-inference.
    `batch_tokens` is small for a processor: a token of a 2,048-token batch costs as much as one of a larger batch, and
    nobody waits long behind it. `queue_tokens` limits the tokens that wait for the engine. Work that would not be done
    within `timeout` is refused at once. docs/serving.md has a table of all limits.
    """

    max_connections: int = 4096
    max_pipelined: int = 32  # requests of one connection that wait for an earlier one
    max_headers: int = 100
    header_bytes: int = 16_384  # with the URL; the same for trailers
    max_inputs: int = 32
    max_body: int = 2_000_000
    max_held: int = 64_000_000  # bytes of all bodies that are being read or answered
    max_depth: int = 100  # depth of nested JSON
    max_parts: int = 20_000  # brackets, commas and colons of JSON
    characters_a_piece: int = 250
    max_pieces: int = 65_536  # pieces of a request whose answer has an entry per piece
    max_sentences: int = 2000  # sentences of a text to summarise
    max_labels: int = 1000  # labels that a request brings along
    max_filled: int = 4_000_000  # characters of all texts in an answer of /fill-mask
    max_written: int = 32_768  # pieces of all texts that are being written, each as long as it may become
    max_unsent: int = 128_000_000  # bytes of answers that clients have not read, over all clients
    max_requests: int = 512
    batch_tokens: int = 2048
    queue_tokens: int = 262_144
    timeout: float = 30.0
    header_timeout: float = 10.0
    body_timeout: float = 20.0
    write_timeout: float = 30.0  # for the client to read an answer
    keep_alive: float = 5.0  # between a connection's requests
    health_timeout: float = 5.0
    drain: float = 30.0

    def __post_init__(self) -> None:
        require_ranges(
            self,
            ("max_connections", 1, 1_000_000),
            ("max_pipelined", 0, 10_000),
            ("max_headers", 1, 10_000),
            ("header_bytes", 256, 2**20),
            ("max_inputs", 1, 10_000),
            ("max_body", 1000, 2**30),
            ("max_held", 1000, 2**40),
            ("max_depth", 2, 1000),
            ("max_parts", 10, 10_000_000),
            ("characters_a_piece", 1, 100_000),
            ("max_pieces", 1, 10_000_000),
            ("max_sentences", 1, 20_000),
            ("max_labels", 2, 20_000),
            ("max_filled", 1, 2**30),
            ("max_written", 1, 2**30),
            ("max_unsent", 1000, 2**40),
            ("max_requests", 1, 100_000),
            ("batch_tokens", 1, 2**20),
            ("queue_tokens", 1, 2**30),
            ("timeout", 0.01, 3600),
            ("header_timeout", 0.05, 3600),
            ("body_timeout", 0.05, 3600),
            ("write_timeout", 0.05, 3600),
            ("keep_alive", 0.05, 3600),
            ("health_timeout", 0.01, 3600),
            ("drain", 0, 3600),
        )

    @classmethod
    def parse(cls, settings: Iterable[str], **flags: float) -> Limits:
        """The limits that `NAME=NUMBER` settings and other flags ask for. Raises `AlbertError` (usage, bad-config)."""
        return cls(**{**flags, **dict(map(_setting, settings))})  # type: ignore[arg-type]


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    kinds = {field.name: int if field.type == "int" else float for field in fields(Limits)}
    try:
        return name, kinds[name](value)
    except (KeyError, ValueError):
        raise AlbertError(
            ErrorKind.USAGE, f"--limit {text}", expected=f"NAME=NUMBER with a name of {', '.join(kinds)}",
            got="a value that is not a number" if name in kinds else "another name",
        ) from None  # fmt: skip
