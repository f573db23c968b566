"""One connection: uvicorn's protocol on httptools, with the limits on time, headers and number that it lacks."""

from __future__ import annotations

import asyncio
import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from albert.serve.limits import Limits
from albert.serve.refusals import Refusal

_FLUSH = 5.0  # seconds for what was written to leave, once a connection is to end


def protocol(limits: Limits) -> type[HttpToolsProtocol]:
    """The class of a server's connections.

    A request's headers must be there `header_timeout` after the connection or its first byte, within `header_bytes`;
    uvicorn itself waits and reads for ever. A client that does not read its answer is left after a moment.
    """

    class Connection(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _in_head = True
        _head = 0  # bytes

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
            self._head += len(data)
            super().data_received(data)
            if not self._in_head:
                self._head = 0
            elif self._head > limits.header_bytes:
                self.send_400_response(f"headers of more than {limits.header_bytes:,} bytes")
            if self.transport.is_closing() or self._answering:
                self._disarm()
            elif self._timer is None and self.timeout_keep_alive_task is None:
                self._arm()

        def on_message_begin(self) -> None:
            self._in_head = True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            super().on_headers_complete()

        @property
        def _answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def timeout_keep_alive_handler(self) -> None:
            self._end()

        def send_400_response(self, msg: str) -> None:
            if not (self._answering and self.cycle.response_started):
                body = Refusal(400, "Validation", msg).encoded()
                head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close"
                self.transport.write(f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
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
