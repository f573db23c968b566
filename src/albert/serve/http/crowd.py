"""All connections of a server: how many there may be, which ones wait, and how much is written but not read."""

from __future__ import annotations

import time
from typing import Protocol

from albert.serve.core.limits import Limits
from albert.serve.core.logs import Tally

_GRACE = 0.25  # seconds in which a request that was sent at once has been read, on a busy machine, too


class Member(Protocol):
    """A connection, or one that is being opened."""

    def cut_off(self) -> None:
        """Closes the connection at once."""

    @property
    def unsent(self) -> int:
        """Bytes of answers that still wait in the server."""


class Crowd:
    """Keeps the number of connections within the limits.

    When a new connection does not fit, the one that has kept the server waiting longest is cut off: it is idle, or it
    sends its request or reads its answer too slowly. Each has a moment of grace, while the new one waits.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.malformed = Tally("info", "malformed requests")
        self._crowded = Tally("warning", "connections cut off to make room", 5.0)
        self._unread = Tally("warning", "clients that do not read cut off")
        self._members: set[Member] = set()
        self._waiting: dict[Member, float] = {}  # connections that wait for their client, longest first; since when
        self._stalled: dict[Member, None] = {}  # those of them whose client does not read

    def __len__(self) -> int:
        return len(self._members)

    def waits(self, member: Member) -> None:
        """The connection now waits for its client."""
        self._members.add(member)
        self._waiting.pop(member, None)
        self._waiting[member] = time.monotonic()

    def works(self, member: Member) -> None:
        """The client now waits for the server."""
        self._waiting.pop(member, None)

    def flows(self, member: Member) -> None:
        """The client has read all that was written to it."""
        self._stalled.pop(member, None)

    def left(self, member: Member) -> None:
        """The connection is closed."""
        self._members.discard(member)
        self._waiting.pop(member, None)
        self._stalled.pop(member, None)

    def stalls(self, member: Member) -> None:
        """The client has not read everything. If too many bytes wait, the clients that wait longest are cut off."""
        self.waits(member)
        self._stalled[member] = None
        while self._stalled and sum(each.unsent for each in self._stalled) > self.limits.max_unsent:
            self.unread(next(iter(self._stalled)))

    def unread(self, member: Member) -> None:
        """Cuts off a client that does not read."""
        self._unread.add()
        self._cut_off(member)

    def cut_off_unread(self) -> None:
        """Cuts off all clients that do not read."""
        for member in list(self._stalled):
            self.unread(member)

    def cut_off_waiting(self) -> None:
        """Cuts off all connections that are idle or whose request is incomplete."""
        for member in list(self._waiting):
            if not member.unsent:
                self._cut_off(member)

    def make_room(self) -> bool:
        """Whether there is room for one more connection. Cuts off the longest waiting one if necessary."""
        if len(self._members) < self.limits.max_connections:
            return True
        longest = next(iter(self._waiting.values()), time.monotonic())
        return time.monotonic() - longest >= _GRACE and self.cut_off_longest()

    def cut_off_longest(self) -> bool:
        """Cuts off the connection that has kept the server waiting longest. False if no connection waits."""
        if not self._waiting:
            return False
        self._crowded.add(connections=len(self._members))
        self._cut_off(next(iter(self._waiting)))
        return True

    def _cut_off(self, member: Member) -> None:
        self.left(member)
        member.cut_off()
