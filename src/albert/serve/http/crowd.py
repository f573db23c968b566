"""All connections of a server: how many there may be, who waits for whom, and what is written but not read."""

from __future__ import annotations

from typing import Protocol

from albert.serve.core.limits import Limits
from albert.serve.core.logs import Tally


class Member(Protocol):
    """A connection, or one that is being opened."""

    def cut_off(self) -> None:
        """Closes the connection at once."""

    @property
    def unsent(self) -> int:
        """Bytes that were written and still wait in the server."""


class Crowd:
    """Keeps connections within the limits. Where one more comes than fits, the one that has kept the server waiting
    longest makes room: it is idle, or its request or what it should read trickles."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.malformed = Tally("info", "malformed requests")
        self._crowded = Tally("warning", "connections cut off to make room", 5.0)
        self._unread = Tally("warning", "clients that do not read cut off")
        self._members: set[Member] = set()
        self._waiting: dict[Member, None] = {}  # for their clients, longest first
        self._stalled: dict[Member, None] = {}  # of those, who do not read

    def __len__(self) -> int:
        return len(self._members)

    def waits(self, member: Member) -> None:
        """The connection now waits for its client."""
        self._members.add(member)
        self._waiting.pop(member, None)
        self._waiting[member] = None

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
        """The client has not read all that was written; where too much waits, the longest waiting ones are cut off."""
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
        """Cuts off all connections that are idle, or whose request is not whole yet."""
        for member in list(self._waiting):
            if not member.unsent:
                self._cut_off(member)

    def make_room(self) -> bool:
        """Whether there is room for one more, if need be by cutting off who waits longest."""
        if len(self._members) < self.limits.max_connections:
            return True
        return self.cut_off_longest()

    def cut_off_longest(self) -> bool:
        """Cuts off the connection that has kept the server waiting longest; False where none does."""
        if not self._waiting:
            return False
        self._crowded.add(connections=len(self._members))
        self._cut_off(next(iter(self._waiting)))
        return True

    def _cut_off(self, member: Member) -> None:
        self.left(member)
        member.cut_off()
