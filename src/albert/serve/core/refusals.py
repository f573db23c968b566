"""What a client gets instead of an answer: the reason, one sentence, and when to come back."""

from __future__ import annotations

from enum import Enum, auto


class Reason(Enum):
    """Why a request has no answer; `serve.http.status` gives each its HTTP status."""

    UNAUTHORIZED = auto()
    NOT_FOUND = auto()  # no such path or model
    CONFLICT = auto()  # not together with what is under way, or with what is loaded
    TOO_LARGE = auto()  # more than a limit allows
    INVALID = auto()  # not what the endpoint reads
    UNSUPPORTED = auto()  # another model could; this one cannot, or failed to
    OVERLOADED = auto()  # too much is under way
    UNAVAILABLE = auto()  # not now, whoever asks
    EXPIRED = auto()  # the deadline passed


class Refusal(Exception):  # noqa: N818  # most of them are no mistakes of ours
    """No answer. `error` repeats nothing of the request; `retry_after` is in seconds."""

    def __init__(self, reason: Reason, error: str, *, retry_after: float | None = None) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error
        self.retry_after = retry_after


def invalid(error: str) -> Refusal:
    """A request that is not what the endpoint reads."""
    return Refusal(Reason.INVALID, error)


def too_large(error: str) -> Refusal:
    """More than a limit allows."""
    return Refusal(Reason.TOO_LARGE, error)


def unsupported(error: str) -> Refusal:
    """Another model could; this one cannot, or failed to."""
    return Refusal(Reason.UNSUPPORTED, error)


def overloaded(error: str, *, retry_after: float) -> Refusal:
    """Too much is under way."""
    return Refusal(Reason.OVERLOADED, error, retry_after=retry_after)


def unavailable(error: str, *, retry_after: float | None = None) -> Refusal:
    """Not now, whoever asks."""
    return Refusal(Reason.UNAVAILABLE, error, retry_after=retry_after)


def expired() -> Refusal:
    """The deadline passed."""
    return Refusal(Reason.EXPIRED, "not done in time")


def not_found(error: str) -> Refusal:
    """No such path or model."""
    return Refusal(Reason.NOT_FOUND, error)
