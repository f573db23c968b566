"""What a client gets in place of an answer: the reason, one sentence, and when to try again."""

from __future__ import annotations

from enum import Enum, auto


class Reason(Enum):
    """Why a request gets no answer. `serve.http.status` gives each reason its HTTP status."""

    UNAUTHORIZED = auto()
    NOT_FOUND = auto()  # the path or model does not exist
    CONFLICT = auto()  # conflicts with what is under way, or with the loaded models
    TOO_LARGE = auto()  # more than a limit allows
    INVALID = auto()  # the endpoint cannot read the request
    UNSUPPORTED = auto()  # this model cannot do it, or it failed
    OVERLOADED = auto()  # too much is under way
    UNAVAILABLE = auto()  # nobody can be served now
    EXPIRED = auto()  # the deadline passed


class Refusal(Exception):  # noqa: N818  # most of them are no mistakes of ours
    """A request is not answered. `error` repeats nothing of the request; `retry_after` is in seconds."""

    def __init__(self, reason: Reason, error: str, *, retry_after: float | None = None) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error
        self.retry_after = retry_after


def invalid(error: str) -> Refusal:
    """The endpoint cannot read the request."""
    return Refusal(Reason.INVALID, error)


def too_large(error: str) -> Refusal:
    """The request exceeds a limit."""
    return Refusal(Reason.TOO_LARGE, error)


def unsupported(error: str) -> Refusal:
    """This model cannot do it, or it failed."""
    return Refusal(Reason.UNSUPPORTED, error)


def overloaded(error: str, *, retry_after: float) -> Refusal:
    """Too many requests are under way, or too many tokens wait."""
    return Refusal(Reason.OVERLOADED, error, retry_after=retry_after)


def unavailable(error: str, *, retry_after: float | None = None) -> Refusal:
    """Nobody can be served now."""
    return Refusal(Reason.UNAVAILABLE, error, retry_after=retry_after)


def expired() -> Refusal:
    """The deadline passed."""
    return Refusal(Reason.EXPIRED, "not done in time")


def not_found(error: str) -> Refusal:
    """The path or model does not exist."""
    return Refusal(Reason.NOT_FOUND, error)
