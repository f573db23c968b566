"""Refusals as HTTP responses (status, body `{error, error_type}`, headers), and the cost of a request as headers."""

from __future__ import annotations

import json
import time

from albert.serve.core.call import Call
from albert.serve.core.refusals import Reason, Refusal

# error_type is that of text-embeddings-inference if it has one for the case.
_STATUS = {
    Reason.UNAUTHORIZED: (401, "Unauthorized"),
    Reason.NOT_FOUND: (404, "NotFound"),
    Reason.CONFLICT: (409, "Backend"),
    Reason.TOO_LARGE: (413, "Validation"),
    Reason.INVALID: (422, "Validation"),
    Reason.UNSUPPORTED: (424, "Backend"),
    Reason.OVERLOADED: (429, "Overloaded"),
    Reason.UNAVAILABLE: (503, "Unhealthy"),
    Reason.EXPIRED: (504, "Timeout"),
}


class HttpRefusal(Refusal):
    """A refusal because of the HTTP request itself. It never reaches a model."""

    def __init__(self, status: int, error_type: str, error: str) -> None:
        super().__init__(Reason.INVALID, error)
        self.status = status
        self.error_type = error_type


def status_of(refusal: Refusal) -> int:
    """The HTTP status."""
    return refusal.status if isinstance(refusal, HttpRefusal) else _STATUS[refusal.reason][0]


def error_type_of(refusal: Refusal) -> str:
    """The kind of error in one word, for programs."""
    return refusal.error_type if isinstance(refusal, HttpRefusal) else _STATUS[refusal.reason][1]


def body_of(refusal: Refusal) -> bytes:
    """The JSON body."""
    return json.dumps({"error": refusal.error, "error_type": error_type_of(refusal)}).encode()


def headers_of(refusal: Refusal) -> dict[str, str]:
    """Retry-After in whole seconds, at least one."""
    return {} if refusal.retry_after is None else {"retry-after": str(max(1, round(refusal.retry_after)))}


def cost_headers(call: Call) -> dict[str, str]:
    """The cost of a call in milliseconds, under the names of text-embeddings-inference, and how many texts were cut."""
    costs = {
        "x-compute-characters": call.characters,
        "x-compute-tokens": call.tokens,
        "x-total-time": round(1000 * (time.monotonic() - call.started)),
        "x-tokenization-time": round(1000 * call.tokenizing),
        "x-queue-time": round(1000 * call.queued),
        "x-inference-time": round(1000 * call.computing),
        "x-truncated-inputs": call.cut,
    }
    return {name: str(value) for name, value in costs.items()}
