"""Accepts connections: no more than the limits allow and than the process has descriptors for."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from dataclasses import replace
from functools import partial

import uvicorn

from albert.serve.core.limits import Limits
from albert.serve.core.logs import Tally
from albert.serve.http.crowd import Crowd

_AT_ONCE = 64  # connections accepted in one go, before other work gets its turn
_SPARE = 96  # descriptors that connections may not use: models and logs need them
_FEWEST = 4
_FULL, _OUT = 0.02, 0.2  # seconds without accepting when there is no room, no descriptor


class Listener(uvicorn.Server):
    """uvicorn's server with its own accept loop.

    asyncio's loop accepts every connection. When descriptors run out, it spins and logs each attempt.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.crowd: Crowd = config.http.crowd  # type: ignore[union-attr]
        self._out = Tally("error", "no descriptor is left to accept a connection", 5.0)
        self._opening: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts uvicorn without sockets, then listens on them itself."""
        await super().startup(sockets=[])
        for listener in sockets or []:
            listener.setblocking(False)
            self._listen(listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops accepting, closes idle connections, then shuts uvicorn down."""
        for listener in sockets or []:
            asyncio.get_running_loop().remove_reader(listener)
        self.should_exit = True
        self.crowd.cut_off_waiting()
        await super().shutdown(sockets)

    def _listen(self, listener: socket.socket) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _pause(self, listener: socket.socket, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(seconds, self._listen, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            if not self.crowd.make_room():
                self._pause(listener, _FULL)
                return
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._out.add(reason=error.strerror, connections=len(self.crowd))
                if not sum(self.crowd.cut_off_longest() for _ in range(_FEWEST)):
                    self._pause(listener, _OUT)
                return
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # its client reset it while it waited
                connection.close()
            else:
                self._open(connection)

    def _open(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        member = _Opening()
        self.crowd.waits(member)
        task = member.task = asyncio.get_running_loop().create_task(self._opened(connection, member))
        self._opening.add(task)
        task.add_done_callback(partial(self._settle, connection))

    def _settle(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if task.cancelled():  # possibly before it began
            connection.close()

    async def _opened(self, connection: socket.socket, member: _Opening) -> None:
        config = self.config
        make = partial(config.http_protocol_class, config, self.server_state, self.lifespan.state)  # type: ignore[call-arg]
        limit = self.crowd.limits.header_timeout if config.ssl else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                make, connection, ssl=config.ssl, ssl_handshake_timeout=limit
            )
        except OSError:  # the TLS handshake failed or was too slow
            connection.close()
        finally:
            self.crowd.left(member)


class _Opening:
    """A connection whose TLS handshake is not complete."""

    task: asyncio.Task[None] | None = None
    unsent = 0

    def cut_off(self) -> None:
        if self.task is not None:
            self.task.cancel()


def within_descriptors(limits: Limits) -> Limits:
    """The limits, with `max_connections` within the process's descriptors. Their number is raised first if possible."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError):
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return limits
    room = most - len(os.listdir("/proc/self/fd")) - _SPARE
    return replace(limits, max_connections=max(min(limits.max_connections, room), _FEWEST))
