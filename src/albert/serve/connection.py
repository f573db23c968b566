"""One connection: uvicorn's protocol on h11, with the time limits and the bound on their number that it lacks."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from albert.serve.limits import Limits
from albert.serve.refusals import Refusal

_FLUSH = 5.0  # seconds for what was written to leave, once a connection is to end


def protocol(limits: Limits) -> type[H11Protocol]:
    """The class of a server's connections.

    A request's headers must be there `header_timeout` after the connection or its first byte; uvicorn itself waits for
    ever. A client that does not read its answer is left after a moment.
    """

    class Connection(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # asyncio does so only for sockets that know their protocol number, which those of a bound listener do not;
            # without it the body waits 40 ms for the acknowledgement of the headers.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self.connections) > limits.max_connections:
                transport.abort()
                return
            self._arm()

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.transport.is_closing() or (self.cycle is not None and not self.cycle.response_complete):
                self._disarm()
            elif self._timer is None and self.timeout_keep_alive_task is None:
                self._arm()

        def timeout_keep_alive_handler(self) -> None:
            self._end()

        def send_400_response(self, msg: str) -> None:
            if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
                self._end()
                return
            body = Refusal(400, "Validation", msg).encoded()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
                       (b"connection", b"close")]  # fmt: skip
            parts: tuple[Any, ...] = (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"), h11.Data(data=body),
                h11.EndOfMessage(),
            )  # fmt: skip
            for part in parts:
                self.transport.write(self.conn.send(part) or b"")
            self._end()

        def _arm(self) -> None:
            self._timer = self.loop.call_later(limits.header_timeout, self._end)

        def _disarm(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _end(self) -> None:
            """Closes, and cuts the connection off if the other side does not take what was written."""
            if not self.transport.is_closing():
                self.transport.close()
            self.loop.call_later(_FLUSH, self.transport.abort)

    return Connection
