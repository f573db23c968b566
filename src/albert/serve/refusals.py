"""What a client is told instead of an answer: a status, `{error, error_type}`, and when to come back."""

from __future__ import annotations

import json
from typing import Any


class Refusal(Exception):  # noqa: N818  # most of them are no mistakes of ours
    """An answer other than 200. `error_type` is text-embeddings-inference's where it has one for the case."""

    def __init__(self, status: int, error_type: str, error: str, *, retry_after: float | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error_type = error_type
        self.error = error
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """As JSON; nothing of the request is repeated in it."""
        return {"error": self.error, "error_type": self.error_type}

    def encoded(self) -> bytes:
        """The body as bytes."""
        return json.dumps(self.body()).encode()

    def headers(self) -> dict[str, str]:
        """Retry-After in whole seconds, at least one."""
        return {} if self.retry_after is None else {"retry-after": str(max(1, round(self.retry_after)))}


def invalid(error: str) -> Refusal:
    """A request that is not what the endpoint reads."""
    return Refusal(422, "Validation", error)


def too_large(error: str) -> Refusal:
    """More than a limit allows."""
    return Refusal(413, "Validation", error)


def unsupported(error: str) -> Refusal:
    """Another model could; this one cannot, or failed to."""
    return Refusal(424, "Backend", error)


def overloaded(error: str, *, retry_after: float) -> Refusal:
    """Too much is under way."""
    return Refusal(429, "Overloaded", error, retry_after=retry_after)


def unavailable(error: str, *, retry_after: float | None = None) -> Refusal:
    """Not now, whoever asks."""
    return Refusal(503, "Unhealthy", error, retry_after=retry_after)


def expired() -> Refusal:
    """The deadline passed."""
    return Refusal(504, "Timeout", "not done in time")


def not_found(error: str) -> Refusal:
    """No such path or model."""
    return Refusal(404, "NotFound", error)
